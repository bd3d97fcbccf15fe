import { describe, expect, test } from 'vitest';
import type { AgentStatus } from '../../../src/admin/status.ts';
import { CatchUp } from '../../../src/cli/demo/catch-up.ts';
import { History } from '../../../src/cli/demo/history.ts';
import { Quit } from '../../../src/cli/demo/quit.ts';
import { endsOf, flowOf, positionsOf, sumOf } from '../../../src/cli/demo/watch.ts';

describe('figures per second', () => {
  test('come from totals, whatever time really passed', () => {
    const history = new History();
    history.second(0, { acknowledged: 100, mirrored: 90, lagRecords: 10 });
    history.second(1000, { acknowledged: 140, mirrored: 120, lagRecords: 20 });
    history.second(3000, { acknowledged: 240, mirrored: 220, lagRecords: 20 });
    expect(history.view()).toEqual({
      inPerSecond: [40, 50],
      outPerSecond: [30, 50],
      lagRecords: [20, 20],
    });
  });

  test('an agent that does not answer makes no progress, and no jump afterwards is hidden', () => {
    const history = new History();
    history.second(0, { acknowledged: 0, mirrored: 10, lagRecords: 5 });
    history.second(1000, { acknowledged: 0, mirrored: undefined, lagRecords: undefined });
    history.second(2000, { acknowledged: 0, mirrored: 30, lagRecords: 0 });
    expect(history.view().outPerSecond).toEqual([0, 20]);
    expect(history.view().lagRecords).toEqual([5, 0]);
  });

  test('are forgotten after a while', () => {
    const history = new History();
    for (let second = 0; second < 1000; second++) {
      history.second(second * 1000, { acknowledged: second, mirrored: 0, lagRecords: 0 });
    }
    expect(history.view().inPerSecond).toHaveLength(150);
  });
});

describe('catching up', () => {
  test('is over when everything that waited at its beginning is confirmed', () => {
    const catchUp = new CatchUp();
    catchUp.begin(1000, 40, 100);
    expect(catchUp.check(2000, 99)).toBeUndefined();
    expect(catchUp.check(4200, 130)).toEqual({ tookMs: 3200, records: 60 });
    expect(catchUp.check(5000, 140)).toBeUndefined();
  });

  test('does not begin when nothing waits, and can be called off', () => {
    const catchUp = new CatchUp();
    catchUp.begin(0, 100, 100);
    expect(catchUp.check(1, 100)).toBeUndefined();
    catchUp.begin(0, 0, 100);
    catchUp.cancel();
    expect(catchUp.check(1, 100)).toBeUndefined();
  });
});

describe("an agent's status", () => {
  const status = {
    topics: [
      {
        name: 'telemetry',
        partitions: [
          { partition: 0, startOffset: 2, endOffset: 10 },
          { partition: 1, startOffset: 0, endOffset: 5 },
        ],
      },
      { name: '_quarantine', partitions: [{ partition: 0, startOffset: 0, endOffset: 7 }] },
    ],
    mirrors: [
      {
        name: 'central',
        state: 'backing off',
        reason: 'no\nroute',
        lagRecords: 4,
        lagMs: 1500,
        topics: [
          {
            topic: 'telemetry',
            partitions: [
              { partition: 0, position: 8, endOffset: 10 },
              { partition: 1, position: 3, endOffset: 5 },
            ],
          },
        ],
      },
    ],
  } as unknown as AgentStatus;

  test('gives the figures of the view, without the topics of the product itself', () => {
    expect(sumOf(endsOf(status))).toBe(15);
    expect(positionsOf(status, 'central')).toEqual(
      new Map([
        ['telemetry/0', 8],
        ['telemetry/1', 3],
      ]),
    );
    expect(flowOf(status, 'central')).toEqual({
      durable: 15,
      mirrored: 11,
      lagRecords: 4,
      lagMs: 1500,
      mirror: 'backing off',
      reason: 'no route',
    });
  });

  test('that is not there, or without the mirror, is unknown and not zero', () => {
    expect(flowOf(undefined, 'central').durable).toBeUndefined();
    expect(flowOf(status, 'kafka').mirrored).toBeUndefined();
    expect(endsOf(undefined).size).toBe(0);
  });
});

describe('wanting out', () => {
  test('finishes, then hurries, then abandons', () => {
    let abandoned = 0;
    const quit = new Quit(() => abandoned++);
    quit.ask();
    expect([quit.finish.aborted, quit.hurry.aborted]).toEqual([true, false]);
    quit.ask();
    expect([quit.hurry.aborted, abandoned]).toEqual([true, 0]);
    expect(quit.abandoned).toBe(false);
    quit.ask();
    quit.ask();
    expect([quit.abandoned, abandoned]).toEqual([true, 1]);
  });

  test('the end of the time does not count as a wish', () => {
    const quit = new Quit(() => {});
    quit.timeIsUp();
    quit.ask();
    expect([quit.finish.aborted, quit.hurry.aborted]).toEqual([true, true]);
  });
});
