import { describe, expect, test } from 'vitest';
import { type ErrorCode, GatelogError } from '../../src/errors.ts';
import { LIMITS } from '../../src/limits.ts';
import { type Network, NetworkWatch } from '../../src/mirror/network-watch.ts';
import type { Liveness, UpstreamSession } from '../../src/mirror/upstream.ts';
import { silentLogger, type Logger } from '../../src/telemetry.ts';
import type { SimulatedUpstream } from '../support/simulated-upstream.ts';
import { SimClock } from '../support/sim-clock.ts';
import { rig } from './mirror-rig.ts';

/** Which state a mirror shows, since when, and what takes it from one to the next. */
const SECOND = 1000;

function failing(code: ErrorCode, text: string): () => Error {
  return () => new GatelogError(code, text);
}

/** The far side's sessions tell when it answered last, and can be asked. */
function withLiveness(
  upstream: SimulatedUpstream,
  liveness: () => Liveness,
  probed: () => void,
): void {
  const connect = upstream.connect.bind(upstream);
  upstream.connect = async (...asked): Promise<UpstreamSession> => {
    const session = await connect(...asked);
    return {
      ...session,
      get liveness() {
        return liveness();
      },
      probe: probed,
    };
  };
}

describe('states', () => {
  test('connecting → catching up → live, each with its own since', async () => {
    const { clock, log, mirror } = rig({ latencyMs: () => 50 }, { batching: { maxRecords: 1 } });
    const [stream] = log.topic('t').streams;
    for (let index = 0; index < 10; index++) log.add(stream ?? (0 as never), 'x');
    await mirror.start();
    expect(mirror.status()).toMatchObject({ state: 'connecting', forMs: 0, downForMs: 0 });
    await clock.until(() => mirror.status().state === 'catching up');
    expect(mirror.status().downForMs).toBeUndefined();
    await clock.until(() => mirror.status().state === 'live');
    await clock.advance(7 * SECOND);
    const { forMs, sinceMs } = mirror.status();
    expect(forMs).toBeGreaterThanOrEqual(7 * SECOND);
    expect(sinceMs).toBe(clock.nowMs() - forMs);
    await clock.settled(mirror.stop());
  });

  test('what the clock is set to does not change for how long', async () => {
    const { clock, log, mirror } = rig();
    log.topic('t');
    await mirror.start();
    await clock.until(() => mirror.status().state === 'live');
    await clock.advance(10 * SECOND);
    const { forMs } = mirror.status();
    clock.set(0);
    expect(mirror.status().forMs).toBe(forMs);
    await clock.settled(mirror.stop());
  });

  test('backing off, with what is wrong, the next try, and for how long it has been down', async () => {
    const { clock, log, mirror } = rig({
      connectFails: failing('UPSTREAM_UNREACHABLE', 'no way there'),
    });
    log.topic('t');
    await mirror.start();
    await clock.until(() => mirror.status().state === 'backing off');
    const { nextTryMs, reason } = mirror.status();
    expect(reason).toBe('no way there');
    expect(nextTryMs).toBeGreaterThan(clock.nowMs());
    await clock.advance(90 * SECOND);
    expect(mirror.status().state).toMatch(/backing off|connecting/u);
    expect(mirror.status().downForMs).toBeGreaterThanOrEqual(90 * SECOND);
    await clock.settled(mirror.stop());
  });

  test.each([
    ['UPSTREAM_UNAUTHENTICATED'],
    ['UPSTREAM_UNAUTHORIZED'],
    ['UPSTREAM_UNSUPPORTED'],
  ] as const)('refused (%s), with the reason, and tried again', async (code) => {
    const { clock, log, upstream, mirror } = rig({ connectFails: failing(code, 'wrong password') });
    log.topic('t');
    await mirror.start();
    await clock.until(() => mirror.status().state === 'refused');
    expect(mirror.status()).toMatchObject({ reason: 'wrong password' });
    const { length } = upstream.connects;
    await clock.until(() => upstream.connects.length > length);
    upstream.options = { ...upstream.options, connectFails: () => undefined };
    await clock.until(() => mirror.status().state === 'live');
    expect(mirror.status()).toMatchObject({ reason: undefined, downForMs: undefined });
    await clock.settled(mirror.stop());
  });

  test('stalled while an answer is owed, since it was owed, and live again when it came', async () => {
    const { clock, log, mirror, upstream } = rig({ latencyMs: () => 60 * SECOND });
    const [stream] = log.topic('t').streams;
    log.add(stream ?? (0 as never), 'x');
    await mirror.start();
    await clock.until(() => upstream.sends === 1);
    expect(mirror.status().unansweredMs).toBeLessThan(SECOND);
    await clock.advance(LIMITS.mirrorStalledMs - 1);
    expect(mirror.status().state).not.toBe('stalled');
    expect(mirror.status().unansweredMs).toBe(LIMITS.mirrorStalledMs - 1);
    await clock.advance(2 * SECOND);
    const { state, forMs, sinceMs } = mirror.status();
    expect(state).toBe('stalled');
    expect(forMs).toBeGreaterThanOrEqual(LIMITS.mirrorStalledMs);
    expect(sinceMs).toBe(clock.nowMs() - forMs);
    await clock.until(() => mirror.status().state === 'live');
    expect(mirror.status().unansweredMs).toBe(0);
    await clock.settled(mirror.stop());
  });

  test('an idle session counts as connected only while its probe is answered', async () => {
    const { clock, log, mirror, upstream } = rig();
    log.topic('t');
    let answeredMs = 0;
    withLiveness(
      upstream,
      () => ({ answeredMs, probedAfterMs: 30 * SECOND }),
      () => {},
    );
    await mirror.start();
    await clock.until(() => mirror.status().state === 'live');
    answeredMs = clock.monotonicMs();
    await clock.advance(44 * SECOND);
    expect(mirror.status().state).toBe('live');
    await clock.advance(2 * SECOND);
    expect(mirror.status()).toMatchObject({ state: 'stalled', forMs: 46 * SECOND });
    answeredMs = clock.monotonicMs();
    expect(mirror.status().state).toBe('live');
    await clock.settled(mirror.stop());
  });

  test('paused, idle, halted and stopped are not down', async () => {
    const { clock, log, mirror, upstream } = rig();
    await mirror.start();
    await clock.until(() => mirror.status().state === 'idle');
    expect(mirror.status().downForMs).toBeUndefined();
    log.topic('t');
    await clock.until(() => mirror.status().state === 'live');
    await clock.settled(mirror.pause());
    await clock.until(() => mirror.status().state === 'paused');
    expect(mirror.status().downForMs).toBeUndefined();
    await clock.settled(mirror.resume());
    upstream.options = {
      ...upstream.options,
      connectFails: failing('UPSTREAM_FENCED', 'a clone'),
    };
    await clock.until(() => mirror.status().state === 'halted');
    expect(mirror.status()).toMatchObject({ reason: 'a clone', downForMs: undefined });
    await clock.settled(mirror.stop());
    expect(mirror.status()).toMatchObject({ state: 'stopped', downForMs: undefined });
  });
});

test('where every topic was refused, so is the mirror, and it says when it tries again', async () => {
  const { clock, log, mirror, upstream } = rig({ fate: () => 'fail-before' });
  upstream.dispositions = () => ({ kind: 'stop-topic', topic: 't' });
  const [stream] = log.topic('t').streams;
  log.topic('other');
  log.add(stream ?? (0 as never), 'x');
  await mirror.start();
  await clock.until(() => mirror.status().topics.some(({ state }) => state === 'stopped'));
  expect(mirror.status().state).not.toBe('refused');
  await mirror.pause('other');
  await clock.until(() => mirror.status().state === 'refused');
  expect(mirror.status()).toMatchObject({
    lagRecords: 1,
    reason:
      'no topic can go on; tried again every 5m, and at once with gatelog mirror resume central',
  });
  await mirror.pause('t');
  await clock.settled(mirror.resume('t'));
  await clock.settled(mirror.pause('t'));
  await clock.until(() => mirror.status().state === 'idle');
  expect(mirror.status().reason).toBe('a person paused every topic');
  await clock.settled(mirror.stop());
});

test('while it connects again the last reason stands beside it, until a session does', async () => {
  const { clock, log, mirror, upstream } = rig({
    connectFails: failing('UPSTREAM_UNREACHABLE', 'no way there'),
  });
  log.topic('t');
  await mirror.start();
  await clock.until(() => mirror.status().state === 'backing off');
  const held = new AbortController();
  const connect = upstream.connect.bind(upstream);
  upstream.connect = async (...asked) => {
    await clock.sleep(1e9, held.signal);
    return connect(...asked);
  };
  upstream.options = { ...upstream.options, connectFails: () => undefined };
  await clock.until(() => mirror.status().state === 'connecting');
  expect(mirror.status().reason).toBe('no way there');
  held.abort();
  await clock.until(() => mirror.status().state === 'live');
  expect(mirror.status().reason).toBeUndefined();
  await clock.settled(mirror.stop());
});

test('it is down since the far side answered last, not since that was found out', async () => {
  const { clock, log, mirror, upstream } = rig(
    {
      fate: () => 'silent',
      connectFails: (count) => (count === 0 ? undefined : new Error('gone')),
    },
    { sendMs: 20 * SECOND },
  );
  const [stream] = log.topic('t').streams;
  log.add(stream ?? (0 as never), 'x');
  await mirror.start();
  await clock.until(() => upstream.sends === 1);
  await clock.until(() => mirror.status().state === 'backing off');
  expect(mirror.status().downForMs).toBeGreaterThanOrEqual(20 * SECOND);
  await clock.settled(mirror.stop());
});

test('waits grow while no session comes about, however long each attempt takes', async () => {
  const attempts: unknown[] = [];
  const note = ({ attempt }: { attempt?: unknown }): void => void attempts.push(attempt);
  const logger: Logger = { ...silentLogger, warn: note, debug: note, child: () => logger };
  const { clock, log, mirror, upstream } = rig({}, { logger });
  log.topic('t');
  upstream.connect = async (_streams, signal) => {
    await clock.sleep(LIMITS.backoffMaxMs + SECOND, signal);
    throw new GatelogError('UPSTREAM_UNREACHABLE', 'no way there');
  };
  await mirror.start();
  await clock.until(() => attempts.length === 4);
  expect(attempts).toEqual([0, 1, 2, 3]);
  await clock.settled(mirror.stop());
});

describe('the network comes back', () => {
  function changing(): { network: NetworkWatch; clock: SimClock; change: () => void } {
    const clock = new SimClock();
    let now: Network = { isUp: true, signature: '0' };
    let count = 0;
    const network = new NetworkWatch(clock, () => Promise.resolve(now));
    const change = (): void => {
      now = { isUp: true, signature: String(++count) };
    };
    return { network, clock, change };
  }

  test('and ends the wait', async () => {
    const { network, clock, change } = changing();
    const { log, mirror, upstream } = rig(
      { clock, connectFails: failing('UPSTREAM_UNREACHABLE', 'no way there') },
      { clock, network, backoff: { firstMs: 3_600_000, maxMs: 3_600_000 } },
    );
    log.topic('t');
    await mirror.start();
    await clock.until(() => mirror.status().state === 'backing off');
    upstream.options = { ...upstream.options, connectFails: () => undefined };
    await clock.advance(10 * SECOND);
    expect(upstream.connects).toHaveLength(1);
    change();
    await clock.advance(2 * SECOND);
    expect(mirror.status().state).toBe('live');
    await clock.settled(mirror.stop());
  });

  test('and a connect that was begun before is begun anew', async () => {
    const { network, clock, change } = changing();
    const { log, mirror, upstream } = rig({ clock }, { clock, network });
    log.topic('t');
    let hangs = true;
    const connect = upstream.connect.bind(upstream);
    upstream.connect = async (streams, signal, options) => {
      if (hangs) await clock.sleep(1e9, signal);
      return connect(streams, signal, options);
    };
    await mirror.start();
    await clock.advance(20 * SECOND);
    expect(mirror.status().state).toBe('connecting');
    hangs = false;
    change();
    await clock.advance(2 * SECOND);
    expect(mirror.status().state).toBe('live');
    await clock.settled(mirror.stop());
  });

  test('and a session that stands is asked whether it still does', async () => {
    const { network, clock, change } = changing();
    const { log, mirror, upstream } = rig({ clock }, { clock, network });
    log.topic('t');
    let probes = 0;
    withLiveness(
      upstream,
      () => ({ answeredMs: clock.monotonicMs(), probedAfterMs: 30 * SECOND }),
      () => void probes++,
    );
    await mirror.start();
    await clock.until(() => mirror.status().state === 'live');
    await clock.advance(2 * SECOND);
    expect(probes).toBe(0);
    change();
    await clock.advance(2 * SECOND);
    expect(probes).toBe(1);
    await clock.settled(mirror.stop());
  });
});
