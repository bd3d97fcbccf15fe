import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

/** What docs/mqtt.md says is tested is. */
const TEXT = readFileSync(new URL('../../docs/mqtt.md', import.meta.url), 'utf8');

interface Row {
  readonly name: string;
  readonly state: string;
  readonly test: string;
}

const ROWS: readonly Row[] = TEXT.split('\n')
  .filter((line) => line.startsWith('| '))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .filter(([, , state]) => state !== '')
  .map(([, name = '', state = '', named = '']) => ({ name, state, test: named }));

test.each(ROWS.filter(({ test: named }) => named === ''))('$name is not there', ({ state }) => {
  expect(state).toMatch(/^no\b/u);
});

const NAMED = ROWS.flatMap(({ name, test: named }) =>
  named === '' ? [] : named.split('; ').map((one) => ({ name, test: one })),
);

test.each(NAMED)('$name: $test', ({ test: named }) => {
  const [file = '', title = ''] = named.split(' › ');
  const path = new URL(`../${file}.test.ts`, import.meta.url);
  expect(existsSync(path)).toBe(true);
  expect(title).not.toBe('');
  expect(readFileSync(path, 'utf8')).toContain(title);
});

/** MQTT 5, section 2.2.2.2. */
test.each([
  'Payload Format Indicator',
  'Message Expiry Interval',
  'Content Type',
  'Response Topic',
  'Correlation Data',
  'Subscription Identifier',
  'Session Expiry Interval',
  'Assigned Client Identifier',
  'Server Keep Alive',
  'Authentication Method',
  'Authentication Data',
  'Request Problem Information',
  'Will Delay Interval',
  'Request Response Information',
  'Response Information',
  'Server Reference',
  'Reason String',
  'Receive Maximum',
  'Topic Alias Maximum',
  'Topic Alias',
  'Maximum QoS',
  'Retain Available',
  'User Property',
  'Maximum Packet Size',
  'Wildcard Subscription Available',
  'Subscription Identifier Available',
  'Shared Subscription Available',
])('the property %s has a row', (property) => {
  expect(ROWS.some(({ name }) => name === property || name.startsWith(`${property},`))).toBe(true);
});
