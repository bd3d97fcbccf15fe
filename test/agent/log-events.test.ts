import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../rules/source-tree.ts';
import { logEvents } from '../support/docs/log-events.ts';

/** docs/logs.md lists the events that the code names: who greps the log for one must be able to rely on it. */
const text = readFileSync(join(ROOT, 'docs/logs.md'), 'utf8');
const listed = [...text.matchAll(/^\| `([\w.-]+)` +\| (\w+) +\|/gmu)].map(
  ([, event = '', level = '']) => ({
    event,
    level,
  }),
);

const EVENTS = logEvents();

test('docs/logs.md lists every event of the code, and no other', () => {
  expect(EVENTS.size).toBeGreaterThan(100);
  expect(listed.map(({ event }) => event).toSorted()).toEqual([...EVENTS.keys()].toSorted());
});

test('and of each a level that the code gives it', () => {
  const wrong = listed.filter(({ event, level }) => {
    const levels = EVENTS.get(event);
    return levels !== undefined && levels.size > 0 && !levels.has(level);
  });
  expect(wrong).toEqual([]);
});
