import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';

/** What was started, undone in reverse within one bound. A step that fails does not stop the rest. */
export class StopStack {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #steps: { readonly name: string; readonly stop: () => Promise<void> }[] = [];
  #stopped: Promise<boolean> | undefined;
  #current = '';

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  push(name: string, stop: () => Promise<void>): void {
    this.#steps.push({ name, stop });
  }

  /** False when a step failed, or when all together took longer than LIMITS.stopMs. */
  stop(): Promise<boolean> {
    this.#stopped ??= this.#stopInTime();
    return this.#stopped;
  }

  async #stopInTime(): Promise<boolean> {
    const done = new AbortController();
    const stopped = this.#stopAll().finally(() => done.abort());
    const waited = this.#clock.sleep(LIMITS.stopMs, done.signal).then(() => 'waited' as const);
    const first = await Promise.race([stopped, waited]);
    if (first !== 'waited' || done.signal.aborted) return stopped;
    this.#logger.error(
      { event: 'agent.stop-late', step: this.#current },
      `${this.#current} did not end within ${LIMITS.stopMs} ms`,
    );
    return false;
  }

  async #stopAll(): Promise<boolean> {
    let clean = true;
    for (;;) {
      const step = this.#steps.pop();
      if (step === undefined) return clean;
      this.#current = step.name;
      try {
        await step.stop();
      } catch (error) {
        clean = false;
        const failure = error instanceof GatelogError ? { code: error.code } : {};
        this.#logger.error(
          { event: 'agent.stop-failed', step: step.name, ...failure },
          `${step.name} did not end well: ${messageOf(error)}`,
        );
      }
    }
  }
}
