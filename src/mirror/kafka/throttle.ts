import type { Clock } from '../../time.ts';
import { formatDuration } from '../../units.ts';

const MINUTE_MS = 60_000;

interface Gate {
  untilMs: number;
  isOpen: boolean;
  readonly opened: Promise<void>;
}

/**
 * Keeps to the quotas of a cluster. A broker over a quota answers at once, says for how long it takes
 * nothing more over that connection (KIP-219), and reads nothing meanwhile: what is sent then waits
 * in its socket until our own time-outs take it for lost. So nothing is sent over it until then; calls
 * go on in the order in which they came. Other connections to the same broker go on: an open
 * transaction can be ended while records wait.
 */
export class Throttle {
  readonly #clock: Clock;
  /** By connection. */
  readonly #gates = new Map<string, Gate>();
  /** Of the last minute: when it was said, and how long. */
  #said: { readonly atMs: number; readonly forMs: number }[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** An answer of this broker said so; 0: no quota is exceeded. */
  note(connection: string, forMs: number): void {
    if (forMs <= 0) return;
    const atMs = this.#clock.monotonicMs();
    this.#said = [...this.#recent(), { atMs, forMs }];
    const gate = this.#gates.get(connection);
    const untilMs = atMs + forMs;
    if (gate !== undefined && !gate.isOpen) gate.untilMs = Math.max(gate.untilMs, untilMs);
    else this.#close(connection, untilMs);
  }

  /** Resolves when the broker takes requests again; undefined when it does now. */
  waitFor(connection: string): Promise<void> | undefined {
    return this.#gates.get(connection)?.opened;
  }

  /** undefined: no quota was exceeded for a minute. */
  text(): string | undefined {
    const heldMs = this.#recent().reduce((sum, { forMs }) => sum + forMs, 0);
    if (heldMs === 0) return undefined;
    return `a quota of the cluster slows it down: its brokers held it up for ${formatDuration(heldMs)} in the last minute (producer_byte_rate or request_percentage of this user or client id)`;
  }

  #close(connection: string, untilMs: number): void {
    const opened = Promise.withResolvers<void>();
    const gate: Gate = { untilMs, isOpen: false, opened: opened.promise };
    const look = (): void => {
      const leftMs = gate.untilMs - this.#clock.monotonicMs();
      if (leftMs > 0) {
        this.#clock.after(leftMs, look);
        return;
      }
      gate.isOpen = true;
      opened.resolve();
      // A moment later: who comes now must not overtake those who waited.
      this.#clock.after(0, () => {
        if (this.#gates.get(connection) === gate) this.#gates.delete(connection);
      });
    };
    this.#gates.set(connection, gate);
    look();
  }

  #recent(): { readonly atMs: number; readonly forMs: number }[] {
    const sinceMs = this.#clock.monotonicMs() - MINUTE_MS;
    return this.#said.filter(({ atMs }) => atMs > sinceMs);
  }
}

/** What any answer says of it, ms; 0 where it says nothing. */
export function throttledMs(answer: unknown): number {
  if (typeof answer !== 'object' || answer === null || !('throttleTimeMs' in answer)) return 0;
  const { throttleTimeMs } = answer;
  return typeof throttleTimeMs === 'number' ? throttleTimeMs : 0;
}
