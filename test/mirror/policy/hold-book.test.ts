import { expect, test } from 'vitest';
import { HoldBook } from '../../../src/mirror/policy/hold-book.ts';
import { silentLogger, type Logger } from '../../../src/telemetry.ts';
import { SimClock } from '../../support/sim-clock.ts';

test('a line of a hold names the mirror by its logger, and not once more', () => {
  const told: Record<string, unknown>[] = [];
  const logger: Logger = { ...silentLogger, warn: (fields) => void told.push(fields) };
  const book = new HoldBook('central', new SimClock(), logger);
  const reason = 'the way is metered';
  book.take([{ cause: 'metered', classes: ['bulk'], reason, untilMs: undefined }]);
  expect(told).toEqual([
    { event: 'mirror.hold', cause: 'metered', classes: ['bulk'], untilMs: undefined },
  ]);
});
