import assert from 'node:assert';
import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { SessionPersistence } from '../../src/agent/broker-persistence.ts';
import { memorySessions } from '../support/session-rig.ts';

/**
 * aedes-persistence's own suite for every persistence, run by vitest: its tests and assertions are as
 * they are, only `t` is ours.
 */
interface NodeTest {
  readonly assert: typeof assert;
  plan(count: number): void;
  diagnostic(text: string): void;
}

type Suite = (options: {
  readonly test: (name: string, body: (t: NodeTest) => Promise<void>) => void;
  readonly persistence: () => Promise<SessionPersistence>;
  readonly testAsync: true;
}) => void;

const suite = createRequire(import.meta.url)('aedes-persistence/abstract.js') as Suite;
let tests = 0;

/** Counts assertions, for the plan. */
function counted(count: () => void): typeof assert {
  return new Proxy(assert, {
    get: (target, name) => {
      const check = Reflect.get(target, name) as (...given: unknown[]) => unknown;
      return (...given: unknown[]) => {
        count();
        return check(...given);
      };
    },
  });
}

suite({
  test: (name, body) => {
    tests++;
    test(`abstract: ${name}`, async () => {
      let planned: number | undefined;
      let made = 0;
      await body({
        assert: counted(() => made++),
        plan: (count) => {
          planned = count;
        },
        diagnostic: () => {},
      });
      expect(made).toBe(planned ?? made);
    });
  },
  persistence: async () => new SessionPersistence(await memorySessions()),
  testAsync: true,
});

test('the suite was there', () => {
  expect(tests).toBeGreaterThan(40);
});
