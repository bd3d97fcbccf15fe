import { describe, expect, test } from 'vitest';
import { StopStack } from '../../src/agent/stop-stack.ts';
import { GatelogError } from '../../src/errors.ts';
import { LIMITS } from '../../src/limits.ts';
import { silentLogger } from '../../src/telemetry.ts';
import type { Logger, LogFields } from '../../src/telemetry.ts';
import { SimClock } from '../support/sim-clock.ts';

class Lines {
  readonly errors: { fields: LogFields; message: string }[] = [];
  readonly logger: Logger = {
    ...silentLogger,
    error: (fields, message) => void this.errors.push({ fields, message }),
  };
}

describe('StopStack', () => {
  test('undoes in reverse, one after the other, once', async () => {
    const order: string[] = [];
    const stack = new StopStack(new SimClock(), silentLogger);
    for (const name of ['store', 'mirrors', 'broker']) {
      stack.push(name, async () => {
        order.push(`${name} begins`);
        await Promise.resolve();
        order.push(`${name} ends`);
      });
    }
    expect(await Promise.all([stack.stop(), stack.stop()])).toEqual([true, true]);
    expect(order).toEqual(
      ['broker', 'mirrors', 'store'].flatMap((name) => [`${name} begins`, `${name} ends`]),
    );
  });

  test('a step that fails is said, and the rest is undone all the same', async () => {
    const lines = new Lines();
    let closed = false;
    const stack = new StopStack(new SimClock(), lines.logger);
    stack.push('the store', async () => {
      closed = true;
    });
    stack.push('the broker', () => Promise.reject(new GatelogError('INTERNAL', 'stuck')));
    expect(await stack.stop()).toBe(false);
    expect(closed).toBe(true);
    expect(lines.errors).toEqual([
      {
        fields: { event: 'agent.stop-failed', step: 'the broker', code: 'INTERNAL' },
        message: 'the broker did not end well: stuck',
      },
    ]);
  });

  test('gives up after LIMITS.stopMs, naming what did not end', async () => {
    const clock = new SimClock();
    const lines = new Lines();
    const stack = new StopStack(clock, lines.logger);
    stack.push('the store', () => Promise.resolve());
    stack.push('the mirrors', () => new Promise(() => {}));
    const stopped = stack.stop();
    await clock.advance(LIMITS.stopMs - 1);
    expect(lines.errors).toEqual([]);
    await clock.advance(1);
    expect(await stopped).toBe(false);
    expect(lines.errors.map(({ message }) => message)).toEqual([
      `the mirrors did not end within ${LIMITS.stopMs} ms`,
    ]);
  });
});
