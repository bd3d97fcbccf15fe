import { describe, expect, test } from 'vitest';
import { changedOptions, withValueOf } from '../../src/agent/config-changes.ts';
import { formatPath } from '../../src/agent/config-document.ts';

function changes(before: unknown, after: unknown): string[] {
  return changedOptions(before, after).map((at) => formatPath(at));
}

describe('what changed', () => {
  test.each([
    ['nothing', { log: { level: 'info' } }, { log: { level: 'info' } }, []],
    ['one option', { log: { level: 'info' } }, { log: { level: 'debug' } }, ['log.level']],
    ['one that was a default', undefined, { store: { segment: '1MiB' } }, ['store.segment']],
    [
      'one that is a default again',
      { store: { linger: '5ms' } },
      { store: null },
      ['store.linger'],
    ],
    ['a default, written out', {}, { log: { level: 'info' }, store: { segment: '64MiB' } }, []],
    [
      'the same in other words',
      { store: { segment: '1GiB' } },
      { store: { segment: '1024MiB' } },
      [],
    ],
    [
      'a list as a whole',
      { routes: [{ match: '#', topic: 'a' }] },
      { routes: [{ match: '+', topic: 'a' }] },
      ['routes'],
    ],
    [
      'a mirror that is new',
      {},
      { mirrors: { central: { kafka: { brokers: ['a:1'] } } } },
      ['mirrors.central'],
    ],
    [
      'inside of a mirror',
      { mirrors: { central: { kafka: { brokers: ['a:1'] } } } },
      { mirrors: { central: { kafka: { brokers: ['b:1'] }, batch: { records: 5 } } } },
      ['mirrors.central.kafka.brokers', 'mirrors.central.batch.records'],
    ],
    [
      'the default topic, written out with another retention',
      {},
      { topics: { telemetry: { retention: { time: '1d' } } } },
      ['topics.telemetry'],
    ],
    [
      'of a topic',
      { topics: { a: { retention: { time: '2d' } } } },
      { topics: { a: { retention: { time: '1d' }, partitions: 9 } } },
      ['topics.a.retention.time', 'topics.a.partitions'],
    ],
  ])('%s', (_, before, after, expected) => {
    expect(changes(before, after)).toEqual(expected);
  });

  test('values with names of JavaScript are options like others', () => {
    const before = { mqtt: { roles: { constructor: ['a'] } } };
    const after = { mqtt: { roles: { constructor: ['b'] } } };
    expect(changes(before, after)).toEqual(['mqtt.roles.constructor']);
  });
});

test('one value is taken from another document, and both stay as they are', () => {
  const mine = { log: { level: 'info', format: 'json' }, store: { linger: '1ms' } };
  const other = { log: { level: 'debug' } };
  expect(withValueOf(mine, other, ['log', 'level'])).toEqual({
    log: { level: 'debug', format: 'json' },
    store: { linger: '1ms' },
  });
  expect(withValueOf(mine, other, ['store', 'linger'])).toEqual({ log: mine.log, store: {} });
  expect(withValueOf(undefined, other, ['log', 'level'])).toEqual(other);
  expect(mine.log.level).toBe('info');
});
