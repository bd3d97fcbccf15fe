import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatIdentity, identityPrefix, parseIdentity } from '../../src/identity.ts';

const name = fc.stringMatching(/^[A-Za-z0-9._-]{1,40}$/u);

test('an identity comes back from its text', () => {
  const identity = fc.record({
    gateway: name,
    incarnation: fc.stringMatching(/^[0-9a-f]{16}$/u),
    topic: name,
    partition: fc.nat({ max: 1023 }),
    offset: fc.maxSafeNat(),
  });
  fc.assert(
    fc.property(identity, (one) => {
      expect(parseIdentity(formatIdentity(one))).toEqual(one);
      expect(formatIdentity(one)).toBe(identityPrefix(one) + String(one.offset));
    }),
  );
});

test.each(['', 'gw', 'gw/inc/t/0', 'gw/inc/t/x/1', 'gw/inc/t/0/-1', 'a/b/c/d/0/1', 'gw//t/0/1'])(
  '%j is no identity',
  (text) => {
    expect(parseIdentity(text)).toBeUndefined();
  },
);
