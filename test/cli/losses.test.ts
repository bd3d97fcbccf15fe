import { expect, test } from 'vitest';
import { upTo } from '../../src/coverage.ts';
import { lossLines } from '../../src/cli/losses.ts';
import { rig } from '../mirror/mirror-rig.ts';
import { streamId } from '../../src/record.ts';

test('what is missing and what was rejected is said with its place, time and reason', async () => {
  const reject = (): string => 'too large for the far side';
  const { clock, log, mirror, positions, upstream } = rig({ reject });
  const [stream = streamId(-1)] = log.topic('telemetry').streams;
  for (let offset = 0; offset < 12; offset++) log.add(stream, String(offset));
  await positions.advance(new Map([[stream, 3]]));
  upstream.positions.set(stream, upTo(1));
  log.trim(stream, 8);
  log.corrupt(stream, 9, 10);
  await mirror.start();
  await clock.until(() => mirror.status().lagRecords === 0);
  const at = '2026-01-01T00:00:00';
  expect(lossLines(mirror.status()).map((line) => line.replaceAll(/\.\d+Z/gu, ''))).toEqual([
    `2 missing: telemetry/0, 1 to 2, ${at}: the far side went back to before them, and the log no longer holds them`,
    `5 missing: telemetry/0, 3 to 7, ${at}: removed by retention, or for space, before their turn came`,
    `1 missing: telemetry/0, 9, ${at}: the log could not read them`,
    `3 rejected: the last is telemetry/0, 11, ${at}: too large for the far side`,
  ]);
  await clock.settled(mirror.stop());
});
