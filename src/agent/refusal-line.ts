import { LISTEN_LIMITS } from '../listen-limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';

/** Reasons are ours, and few; beyond so many they share a line. */
const REASONS = 32;

interface Said {
  atMs: number;
  unsaid: number;
}

/** One line for many of a reason: a flood of refusals is none of lines, and hides none of another reason. */
export class RefusalLine {
  readonly #event: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #byReason = new Map<string, Said>();

  constructor(
    event: string,
    { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
  ) {
    this.#event = event;
    this.#clock = clock;
    this.#logger = logger;
  }

  say(about: Readonly<Record<string, unknown>>, why: string): void {
    const nowMs = this.#clock.monotonicMs();
    const reason = this.#byReason.has(why) || this.#byReason.size < REASONS ? why : '';
    const said = this.#byReason.get(reason) ?? { atMs: Number.NEGATIVE_INFINITY, unsaid: 0 };
    this.#byReason.set(reason, said);
    if (nowMs - said.atMs < LISTEN_LIMITS.refusalLineMs) {
      said.unsaid++;
      return;
    }
    const others = said.unsaid === 0 ? '' : ` (${said.unsaid} more since the last such line)`;
    said.atMs = nowMs;
    said.unsaid = 0;
    this.#logger.warn({ event: this.#event, ...about }, `${why}${others}`);
  }
}

const SHOWN_CHARACTERS = 200;

/** What a peer chose may be 65,535 bytes long. */
export function shortened<T extends string | undefined>(text: T): T | string {
  if (text === undefined || text.length <= SHOWN_CHARACTERS) return text;
  return `${text.slice(0, SHOWN_CHARACTERS)}…`;
}
