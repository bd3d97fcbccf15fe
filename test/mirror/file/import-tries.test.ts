import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ErrorCode, GatelogError } from '../../../src/errors.ts';
import { EXPORT_LIMITS } from '../../../src/export-limits.ts';
import { Pacer } from '../../../src/mirror/pacer.ts';
import { seededRandom } from '../../../src/random.ts';
import { streamId } from '../../../src/record.ts';
import type { TopicInfo } from '../../../src/store/log.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { systemClock } from '../../../src/time.ts';
import { exportTo, importFrom } from '../../support/carried.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { type SendFate, SimulatedUpstream } from '../../support/simulated-upstream.ts';

/** What an import does about errors that pass, and about those that do not. */
const ORIGIN = {
  gateway: 'gw',
  incarnation: '0123456789abcdef',
  mirror: 'central',
  target: { topicTemplate: '{topic}', transactionalId: 't', group: 'g', positionsTopic: 'p' },
};
/** Three batches of an import. */
const RECORDS = EXPORT_LIMITS.batchRecords * 3;

let folder: string;
let log: MemoryLog;
let topic: TopicInfo;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gatelog-import-'));
  log = new MemoryLog();
  topic = log.topic('telemetry');
  for (let index = 0; index < RECORDS; index++) {
    log.add(topic.streams[0] ?? streamId(-1), String(index));
  }
  await exportTo({ folder, log, topic, origin: ORIGIN, number: 1, madeMs: 5 });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function centre(fates: readonly SendFate[] = []): SimulatedUpstream {
  return new SimulatedUpstream({
    clock: systemClock,
    exactlyOnce: true,
    fate: (send) => fates[send] ?? 'ok',
  });
}

function isOnceInOrder({ delivered }: SimulatedUpstream): boolean {
  return (
    delivered.length === RECORDS && delivered.every(({ record }, index) => record.offset === index)
  );
}

describe('an error that passes', () => {
  test.each([
    ['before anything was done', ['ok', 'fail-before', 'fail-before']],
    ['whose answer was lost', ['fail-after', 'ok', 'fail-after', 'fail-after']],
    ['of which it is not known', ['zombie', 'fail-after', 'fail-before']],
  ] as const)('%s: goes on, each record once, and counts them', async (_what, fates) => {
    const upstream = centre(fates);
    expect(await importFrom(folder, { upstream })).toEqual({ sent: RECORDS, skipped: 0 });
    expect(isOnceInOrder(upstream)).toBe(true);
    expect(upstream.openSessions).toBe(0);
  });

  test('on the way to the centre is said, and tried again', async () => {
    const upstream = centre();
    const failures = ['UPSTREAM_UNREACHABLE', 'UPSTREAM_UNCERTAIN'] as const;
    upstream.options = {
      ...upstream.options,
      connectFails: (connect) =>
        failures[connect] && new GatelogError(failures[connect], `trouble ${connect}`),
    };
    const said: string[] = [];
    const pacer = new Pacer({
      name: 'central',
      backoff: { firstMs: 1, maxMs: 2 },
      clock: systemClock,
      random: seededRandom(1),
      logger: { ...silentLogger, warn: (_fields, message) => said.push(message) },
    });
    await importFrom(folder, { upstream, pacer });
    expect(said).toEqual([
      expect.stringMatching(/^mirror central: trouble 0; next try in /u),
      expect.stringMatching(/^mirror central: trouble 1; next try in /u),
    ]);
    expect(isOnceInOrder(upstream)).toBe(true);
  });

  test('that does not pass ends it, saying what it was', async () => {
    const upstream = centre(Array.from({ length: 100_000 }, () => 'fail-before'));
    await expect(importFrom(folder, { upstream, patienceMs: 30 })).rejects.toMatchObject({
      code: 'UPSTREAM_UNREACHABLE',
      message: 'refused',
    });
    expect(upstream.connects.length).toBeGreaterThan(1);
  });

  test('is not waited for once a person ends it', async () => {
    const upstream = centre(['ok', 'silent']);
    const ending = new AbortController();
    const importing = importFrom(folder, { upstream, signal: ending.signal });
    await expect.poll(() => upstream.sends).toBe(2);
    ending.abort();
    await expect(importing).rejects.toThrow('broken off');
    expect(upstream.openSessions).toBe(0);
    const there = upstream.delivered.length;
    expect(there).toBeGreaterThan(0);
    expect(await importFrom(folder, { upstream })).toEqual({
      sent: RECORDS - there,
      skipped: there,
    });
    expect(isOnceInOrder(upstream)).toBe(true);
  });
});

describe('what no try mends', () => {
  test.each<ErrorCode>(['UPSTREAM_UNAUTHORIZED', 'UPSTREAM_MISMATCH', 'UPSTREAM_REJECTED'])(
    '%s ends it at once',
    async (code) => {
      const upstream = centre();
      const connectFails = (): Error => new GatelogError(code, 'no');
      upstream.options = { ...upstream.options, connectFails };
      await expect(importFrom(folder, { upstream })).rejects.toMatchObject({ code, message: 'no' });
      expect(upstream.connects).toHaveLength(1);
    },
  );

  test('a gateway that sends itself meanwhile is let', async () => {
    const upstream = centre(['fail-before']);
    upstream.options = {
      ...upstream.options,
      connectFails: (connect) =>
        connect === 0 ? undefined : new GatelogError('UPSTREAM_MISMATCH', 'a copy of the folder'),
    };
    await expect(importFrom(folder, { upstream })).rejects.toMatchObject({
      code: 'UPSTREAM_FENCED',
      message: expect.stringContaining('most likely the gateway is online'),
    });
    expect(upstream.connects).toHaveLength(2);
  });

  test('a refused record is kept once, however often its batch is sent', async () => {
    const upstream = centre(['zombie', 'zombie']);
    upstream.options = {
      ...upstream.options,
      reject: (_at, { offset }) => (offset === 7 ? 'too large' : undefined),
    };
    const kept: number[] = [];
    const refused = (records: readonly { readonly offset: number }[]): Promise<void> => {
      kept.push(...records.map(({ offset }) => offset));
      return Promise.resolve();
    };
    expect(await importFrom(folder, { upstream, refused })).toEqual({
      sent: RECORDS - 1,
      skipped: 0,
    });
    expect(kept).toEqual([7]);
  });
});
