import { describe, expect, test } from 'vitest';
import { Acl } from '../../src/agent/acl.ts';
import { covers } from '../../src/agent/acl-filter.ts';
import { ruleOf } from '../support/acl-rule.ts';

describe('a filter covers another, or a topic', () => {
  test.each([
    ['a/b', 'a/b', true],
    ['a/b', 'a/B', false],
    ['a/b', 'a', false],
    ['a', 'a/b', false],
    ['a/+', 'a/b', true],
    ['a/+', 'a/+', true],
    ['a/+', 'a', false],
    ['a/+', 'a/b/c', false],
    ['a/+', 'a/#', false],
    ['a/b', 'a/+', false],
    ['a/#', 'a', true],
    ['a/#', 'a/', true],
    ['a/#', 'a/b/c', true],
    ['a/#', 'a/+/c', true],
    ['a/#', 'a/#', true],
    ['a/#', '#', false],
    ['a/+/#', 'a/#', false],
    ['a/+/#', 'a/+', true],
    ['+/b', 'a/b', true],
    ['+', '#', false],
    ['#', '+/+', true],
    ['#', '#', true],
    ['#', '/', true],
    ['#', '$SYS/x', false],
    ['+/x', '$SYS/x', false],
    ['$SYS/#', '$SYS/x', true],
    ['$SYS/#', '#', false],
    ['', 'a', false],
  ])('%s, %s: %s', (filter, asked, covered) => {
    expect(covers(filter.split('/'), asked.split('/'))).toBe(covered);
  });
});

describe('rules', () => {
  const acl = new Acl({
    acl: [
      ruleOf({ publish: ['plant/%u/#'], subscribe: ['plant/%u/#'] }),
      ruleOf({ publish: ['id/%c', 'both/%u-%c'] }),
      ruleOf({ users: ['board'], subscribe: ['#'] }),
      ruleOf({ roles: ['ops'], publish: ['plant/+/set'] }),
      ruleOf({
        users: ['odd'],
        roles: ['ops'],
        deny: { publish: ['plant/press/set'], subscribe: [] },
      }),
      ruleOf({ deny: { publish: [], subscribe: ['plant/+/secret/#'] } }),
    ],
    roles: new Map([['ops', ['anna']]]),
  });

  test.each([
    ['press', 'c', 'plant/press/a/b', true],
    ['press', 'c', 'plant/press', true],
    ['press', 'c', 'plant/pump/a', false],
    ['press', 'c', 'id/c', true],
    ['press', 'c', 'id/press', false],
    ['press', 'c', 'both/press-c', true],
    [undefined, 'c', 'id/c', true],
    [undefined, 'c', 'plant//a', false],
    [undefined, 'c', 'plant/undefined/a', false],
    ['', 'c', 'plant//a', false],
    // Names that would say more than themselves.
    ['+', 'c', 'plant/pump/a', false],
    ['#', 'c', 'plant/pump', false],
    ['a/b', 'c', 'plant/a/b/c', false],
    ['press', '+', 'id/x', false],
    ['press', 'a/b', 'id/a/b', false],
    ['%c', 'pump', 'plant/pump/a', false],
    ['$&', 'c', 'plant/$&/a', true],
    ['anna', 'c', 'plant/pump/set', true],
    ['anna', 'c', 'plant/press/set', false],
    ['ben', 'c', 'plant/pump/set', false],
    ['odd', 'c', 'plant/pump/set', false],
    ['__proto__', 'c', 'plant/__proto__/a', true],
  ])('user %s, client %s publishes to %s: %s', (user, client, topic, allowed) => {
    expect(acl.accessOf({ user, client }).mayPublish(topic)).toBe(allowed);
  });

  test.each([
    ['board', '#', true],
    ['board', 'plant/#', true],
    ['board', '$SYS/#', false],
    ['board', 'plant/+/secret/a', false],
    ['board', 'plant/press/secret/#', false],
    ['board', '$share/group/plant/#', true],
    ['press', 'plant/press/+', true],
    ['press', 'plant/press/#', true],
    ['press', 'plant/#', false],
    ['press', 'plant/+/a', false],
    ['press', '#', false],
    ['press', '$share/group/plant/#', false],
  ])('user %s subscribes to %s: %s', (user, filter, allowed) => {
    expect(acl.accessOf({ user, client: 'c' }).maySubscribe(filter)).toBe(allowed);
  });

  test('a name at the beginning of a filter does not lead to $SYS/', () => {
    const access = new Acl({ acl: [ruleOf({ subscribe: ['%u/#'] })], roles: new Map() });
    expect(access.accessOf({ user: '$SYS', client: 'c' }).maySubscribe('$SYS/#')).toBe(false);
    expect(access.accessOf({ user: 'SYS', client: 'c' }).maySubscribe('SYS/#')).toBe(true);
  });

  test('what is denied within a filter is not received', () => {
    const access = acl.accessOf({ user: 'board', client: 'c' });
    const topics = ['a', 'plant/press/secret', 'plant/press/a', 'plant/x/secret/y'];
    expect(topics.map((topic) => access.mayReceive(topic))).toEqual([true, false, true, false]);
  });

  test('an empty list allows nothing', () => {
    const none = new Acl({ acl: [], roles: new Map() }).accessOf({ user: 'a', client: 'c' });
    expect([none.mayPublish('a'), none.maySubscribe('a'), none.mayReceive('a')]).toEqual([
      false,
      false,
      false,
    ]);
  });
});
