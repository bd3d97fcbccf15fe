import type { Upstream, UpstreamSession } from '../../src/mirror/upstream.ts';
import type { Clock } from '../../src/time.ts';

/**
 * One process from its start to its crash. After the crash nothing of it happens any more: its
 * timers don't fire and what it waits for never comes, as after a SIGKILL.
 */
export class Life {
  ended = false;

  /** The promise, unless the process died meanwhile: then nothing, for ever. */
  async through<T>(promise: Promise<T>): Promise<T> {
    try {
      const value = await promise;
      if (this.ended) await never();
      return value;
    } catch (error) {
      if (this.ended) await never();
      throw error;
    }
  }

  clock(clock: Clock): Clock {
    return {
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs(),
      after: (delayMs, task) =>
        clock.after(delayMs, () => {
          if (!this.ended) task();
        }),
      sleep: (delayMs, signal) => this.through(clock.sleep(delayMs, signal)),
    };
  }

  upstream(upstream: Upstream): Upstream {
    return {
      ...(upstream.batching === undefined ? {} : { batching: upstream.batching }),
      dispositionOf: (error) => upstream.dispositionOf(error),
      connect: async (streams, signal, options) => {
        const session = await this.through(
          upstream.connect(streams, signal, {
            ...options,
            quarantine: (rejected) => this.through(options.quarantine(rejected)),
          }),
        );
        return this.#session(session);
      },
    };
  }

  #session(session: UpstreamSession): UpstreamSession {
    session.broken.catch(() => {});
    return {
      positions: session.positions,
      broken: this.through(session.broken),
      send: (batch, after) => (this.ended ? never() : this.through(session.send(batch, after))),
      close: () => this.through(session.close()),
    };
  }
}

function never(): Promise<never> {
  return new Promise(() => {});
}
