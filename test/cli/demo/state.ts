import type { DemoState } from '../../../src/cli/demo/state.ts';

/** A moment in the middle of a run, for tests to change. */
export function sampleState(changes: Partial<DemoState> = {}): DemoState {
  const wave = Array.from({ length: 120 }, (_, index) => 35 + Math.round(8 * Math.sin(index / 5)));
  return {
    elapsedMs: 83_000,
    forMs: undefined,
    sensors: {
      total: 20,
      connected: 20,
      acknowledged: 2941,
      waiting: 3,
      sentAgain: 12,
      paused: false,
      speed: 1,
    },
    edge: { phase: 'running', pid: 4711, restarts: 1, address: 'mqtt://127.0.0.1:1883' },
    link: 'up',
    centre: {
      kind: 'gatelog',
      node: { phase: 'running', pid: 4712, restarts: 0, address: 'mqtt://127.0.0.1:34567' },
      stored: 12_300,
    },
    flow: {
      durable: 12_345,
      mirrored: 12_300,
      lagRecords: 45,
      lagMs: 1200,
      mirror: 'live',
      reason: undefined,
    },
    history: {
      inPerSecond: wave,
      outPerSecond: wave.map((value, index) => (index % 40 < 10 ? 0 : value)),
      lagRecords: wave.map((_, index) => (index % 40 < 10 ? (index % 40) * 38 : 0)),
    },
    readings: Array.from({ length: 20 }, (_, index) => ({
      name: `temp-hall-${index}`,
      text: `${(20 + index / 10).toFixed(1)} °C`,
    })),
    events: [
      { atMs: 1_790_000_000_000, text: 'link cut by you', tone: 'bad' },
      { atMs: 1_790_000_008_000, text: 'link restored', tone: 'good' },
      { atMs: 1_790_000_010_000, text: 'caught up in 2.1 s: 342 records', tone: 'good' },
      { atMs: 1_790_000_012_000, text: 'agent killed (SIGKILL), restarting', tone: 'bad' },
    ],
    notice: undefined,
    ...changes,
  };
}
