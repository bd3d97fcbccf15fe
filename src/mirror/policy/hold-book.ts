import type { Logger } from '../../telemetry.ts';
import type { Clock } from '../../time.ts';
import { CLASSES, type TopicClass } from '../selection.ts';
import type { Hold } from './holds.ts';
import { HOLD_CAUSES, type HoldStatus } from './link-status.ts';

/** What is held back at present, since when; a line in the log when that changes. */
export class HoldBook {
  readonly #name: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #holds: readonly HoldStatus[] = [];

  constructor(name: string, clock: Clock, logger: Logger) {
    this.#name = name;
    this.#clock = clock;
    this.#logger = logger;
  }

  get all(): readonly HoldStatus[] {
    return this.#holds;
  }

  /** The hold that counts most; undefined: the class may be sent, or a sample of it. */
  of(topicClass: TopicClass, isSampled: boolean = false): HoldStatus | undefined {
    const holds = this.#holds.filter(
      ({ classes, sparesSamples }) =>
        classes.includes(topicClass) && !(isSampled && sparesSamples === true),
    );
    return holds.toSorted(
      (one, other) => HOLD_CAUSES.indexOf(one.cause) - HOLD_CAUSES.indexOf(other.cause),
    )[0];
  }

  /** True when other classes may be sent now than before. */
  take(holds: readonly Hold[]): boolean {
    const before = this.#holds;
    const allowed = this.#allowed();
    this.#holds = holds.map((hold) => {
      const known = before.find((one) => isSame(one, hold));
      if (known === undefined)
        this.#tell('warn', hold, `holds back ${listed(hold)}: ${hold.reason}`);
      return { ...hold, sinceMs: known?.sinceMs ?? this.#clock.nowMs() };
    });
    for (const hold of before) {
      if (holds.some((one) => isSame(one, hold))) continue;
      this.#tell('info', hold, `no longer holds back ${listed(hold)} for being ${hold.cause}`);
    }
    return allowed !== this.#allowed();
  }

  #allowed(): string {
    const allowed = (isSampled: boolean): string =>
      CLASSES.filter((one) => this.of(one, isSampled) === undefined).join();
    return `${allowed(false)} ${allowed(true)}`;
  }

  #tell(level: 'warn' | 'info', { cause, classes, untilMs }: Hold, message: string): void {
    this.#logger[level](
      { event: 'mirror.hold', cause, classes, untilMs },
      `mirror ${this.#name}: ${message}`,
    );
  }
}

function isSame(one: Hold, other: Hold): boolean {
  return one.cause === other.cause && one.classes.join() === other.classes.join();
}

function listed({ classes }: Hold): string {
  return classes.length === CLASSES.length ? 'everything' : classes.join(', ');
}
