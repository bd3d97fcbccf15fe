import { beforeEach, describe, expect, it } from 'vitest';
import { FIGURES, History } from '../../src/admin/history.ts';
import type { AgentStatus } from '../../src/admin/status.ts';
import { HISTORY_LIMITS } from '../../src/history-limits.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { LIVE_MIRROR, STORE, WELL } from '../support/agent-status.ts';
import { SimClock } from '../support/sim-clock.ts';

const { stepMs } = HISTORY_LIMITS.hour;
const MIN_MS = 60_000;

let clock: SimClock;
let now: AgentStatus | undefined;
let history: History;

beforeEach(async () => {
  clock = new SimClock();
  now = appended(0);
  const status = async (): Promise<AgentStatus> => {
    if (now === undefined) throw new Error('nothing can be measured');
    return now;
  };
  history = new History({ status, clock, logger: silentLogger });
  history.start();
  await clock.settle();
});

function appended(records: number, sent = 0): AgentStatus {
  const store = { ...STORE, recordsAppended: records, bytesAppended: records * 100 };
  return { ...WELL, store, mirrors: [{ ...LIVE_MIRROR, recordsSent: sent }] };
}

describe('what the charts show', () => {
  it('has rates over each step, and the others as they were at its end', async () => {
    now = appended(500, 200);
    await clock.advance(stepMs);
    now = appended(500, 400);
    await clock.advance(stepMs);
    const { series, until } = history.view().hour;
    expect(series.recordsIn).toEqual([50, 0]);
    expect(series.bytesIn).toEqual([5000, 0]);
    expect(series.recordsOut).toEqual([20, 20]);
    expect(series.memoryBytes).toEqual([WELL.memory.rssBytes, WELL.memory.rssBytes]);
    expect(Date.parse(until)).toBe(clock.nowMs());
  });

  it('knows nothing of steps in which nothing could be measured', async () => {
    now = undefined;
    await clock.advance(2 * stepMs);
    now = appended(3000);
    await clock.advance(stepMs);
    expect(history.view().hour.series.recordsIn).toEqual([null, null, 100]);
  });

  it('puts steps together for the day: rates averaged, of the others the greatest', async () => {
    for (let step = 1; step <= 30; step++) {
      const lagRecords = step === 7 ? 900 : 0;
      const status = appended(step <= 15 ? step * 100 : 1500);
      now = { ...status, mirrors: [{ ...LIVE_MIRROR, lagRecords }] };
      await clock.advance(stepMs);
    }
    const { series } = history.view().day;
    expect(series.recordsIn).toEqual([5]);
    expect(series.lagRecords).toEqual([900]);
  });

  it('keeps an hour and a day in the same memory for ever', async () => {
    const before = history.bytes;
    await clock.advance(26 * 60 * MIN_MS);
    const { hour, day } = history.view();
    expect(hour.series.recordsIn).toHaveLength(HISTORY_LIMITS.hour.slots);
    expect(day.series.recordsIn).toHaveLength(HISTORY_LIMITS.day.slots);
    expect(history.bytes).toBe(before);
    expect(before).toBe((360 + 288) * FIGURES.length * 8);
  });

  it('is not taken in by a counter that begins anew, and ends with the agent', async () => {
    now = appended(500);
    await clock.advance(stepMs);
    now = appended(10);
    await clock.advance(stepMs);
    expect(history.view().hour.series.recordsIn).toEqual([50, null]);
    history.stop();
    await clock.advance(10 * stepMs);
    expect(history.view().hour.series.recordsIn).toHaveLength(2);
  });
});
