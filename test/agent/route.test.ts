import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KeyTemplate, RouteTable, TopicFilter } from '../../src/agent/route.ts';

function matches(filter: string, topic: string): boolean {
  return TopicFilter.compile(filter, 'route 1').matches(topic.split('/'));
}

describe('topic filters (MQTT 5, section 4.7)', () => {
  test.each([
    ['#', 'a', true],
    ['#', '/a', true],
    ['#', '$SYS/x', false],
    ['+/x', '$SYS/x', false],
    ['a/#', 'a', true],
    ['a/#', 'a/b/c', true],
    ['a/#', 'ab', false],
    ['a/+', 'a', false],
    ['a/+', 'a/', true],
    ['a/+', 'a/b', true],
    ['a/+', 'a/b/c', false],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    ['a/+/c', 'a/b/c', true],
    ['a/b', 'a/b', true],
    ['a/b', 'a/b/', false],
    ['a/b', 'A/b', false],
    ['+/#', 'a', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
  ])('%s and %s: %s', (filter, topic, expected) => {
    expect(matches(filter, topic)).toBe(expected);
  });

  test.each([
    ['', 'route 1 (""): the filter is empty'],
    ['a#', '`#` must be a whole level'],
    ['#/a', '`#` must be a whole level, and the last one'],
    ['a/b+', '`+` must be a whole level'],
    ['a\0', 'NUL character'],
    ['$SYS/#', 'are the broker’s own and are never logged'],
    [Array.from({ length: 65 }, () => 'a').join('/'), 'the filter has 65 levels; at most 64'],
  ])('refused: %j', (match, message) => {
    const specs = [{ match, topic: 't', key: '{topic}' }];
    expect(() => new RouteTable(specs)).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining(message),
      }),
    );
  });

  test('a filter made from a topic by wildcards matches that topic', () => {
    const level = fc.stringMatching(/^[a-z]{0,3}$/u);
    const topic = fc.array(level, { minLength: 1, maxLength: 6 });
    const holes = fc.array(fc.boolean(), { minLength: 6, maxLength: 6 });
    fc.assert(
      fc.property(topic, holes, fc.nat(6), (levels, plus, cut) => {
        const filter = levels.map((text, index) => (plus[index] === true ? '+' : text));
        fc.pre(filter.join('/') !== '');
        expect(matches(filter.join('/'), levels.join('/'))).toBe(true);
        const short = [...filter.slice(0, cut), '#'];
        expect(matches(short.join('/'), levels.join('/'))).toBe(true);
      }),
    );
  });
});

describe('key templates', () => {
  test.each([
    ['{topic}', 'a/b/c', 'a/b/c'],
    ['{2}', 'a/b/c', 'b'],
    ['{1}-{3}', 'a/b/c', 'a-c'],
    ['{4}', 'a/b/c', ''],
    ['{client}', 'a/b/c', 'pump-7'],
    ['site/{client}/{2}', 'a/b/c', 'site/pump-7/b'],
    ['fixed', 'a/b/c', 'fixed'],
  ])('%s of %s is %j', (template, topic, expected) => {
    expect(KeyTemplate.compile(template, 'route 1').render(topic, 'pump-7')).toBe(expected);
  });

  test('only {client} makes the key depend on the publisher', () => {
    expect(KeyTemplate.compile('{topic}{1}x', 'r').usesClient).toBe(false);
    expect(KeyTemplate.compile('{1}/{client}', 'r').usesClient).toBe(true);
  });

  test.each([
    ['', 'the key template is empty'],
    ['{device}', 'unknown placeholder {device}'],
    ['{0}', 'unknown placeholder {0}'],
    ['{65}', 'unknown placeholder {65}'],
    ['a{topic', 'a brace without its partner'],
    ['topic}', 'a brace without its partner'],
  ])('refused: %j', (template, message) => {
    expect(() => KeyTemplate.compile(template, 'route 3 ("#")')).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: expect.stringMatching(/^route 3 \("#"\): /u),
      }),
    );
    expect(() => KeyTemplate.compile(template, 'r')).toThrow(message);
  });
});

test('the first route that matches wins', () => {
  const table = new RouteTable([
    { match: 'alarm/#', topic: 'alarms', key: '{topic}' },
    { match: '+/+/state', topic: 'states', key: '{2}' },
    { match: 'plant/#', topic: 'plant', key: '{topic}' },
  ]);
  expect(table.match('alarm/1/state')?.topic).toBe('alarms');
  expect(table.match('plant/1/state')?.topic).toBe('states');
  expect(table.match('plant/1/other')?.topic).toBe('plant');
  expect(table.match('else')).toBeUndefined();
});
