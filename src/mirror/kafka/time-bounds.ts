import { ConfigResourceTypes, describeConfigsV2 } from '@platformatic/kafka';
import { LIMITS } from '../../limits.ts';
import type { Logger } from '../../telemetry.ts';
import { isoTime, type Clock } from '../../time.ts';
import { CODE } from './codes.ts';
import type { Address } from './address.ts';
import type { Links, Versions } from './links.ts';
import type { ProduceAnswer } from './produce.ts';

/** Timestamps that a central topic takes; others are sent with the nearest one. */
export interface TimeRange {
  readonly minMs: number;
  readonly maxMs: number;
}

/** What a topic's configuration says: how far before and after the broker's time. */
export interface TimeLimits {
  readonly beforeMs: number;
  readonly afterMs: number;
}

/** The range as a broker told it, at a moment of our monotonic clock: it moves on with time. */
interface LearnedRange extends TimeRange {
  readonly atMonotonicMs: number;
}

/** Two brokers' clocks differ by less, and a batch is under way for less. */
const SMALL_MARGIN_MS = 5000;

/**
 * Which timestamps Kafka takes, by central topic: from the topics' configuration where we may read
 * it and our clock is sound, else from the words of the first refusal, which name the range by the
 * broker's own clock.
 */
export class TimeBounds {
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** False: our clock is wrong and nobody knows by how much. */
  readonly #isSound: () => boolean;
  readonly #limits = new Map<string, TimeLimits>();
  readonly #learned = new Map<string, LearnedRange>();

  constructor(clock: Clock, logger: Logger, isSound: () => boolean = () => true) {
    this.#clock = clock;
    this.#logger = logger;
    this.#isSound = isSound;
  }

  /** A new session: what was known may have been changed since. */
  begin(limits: ReadonlyMap<string, TimeLimits>): void {
    this.#limits.clear();
    this.#learned.clear();
    for (const [topic, limit] of limits) this.#limits.set(topic, limit);
  }

  /** undefined: nothing is known, and every timestamp is sent as it is. */
  of(topic: string): TimeRange | undefined {
    const learned = this.#learned.get(topic);
    if (learned !== undefined) return this.#inside(this.#moved(learned));
    const limits = this.#limits.get(topic);
    if (limits === undefined || !this.#isSound()) return undefined;
    const now = this.#clock.nowMs();
    const { beforeMs, afterMs } = limits;
    return {
      minMs: now - beforeMs + Math.min(LIMITS.kafkaTimeMarginMs, beforeMs / 4),
      maxMs: now + afterMs - Math.min(LIMITS.kafkaTimeMarginMs, afterMs / 4),
    };
  }

  /** False: the refusal tells nothing new, so that sending it again would not help. */
  learn({ topic, code, recordErrors, message }: ProduceAnswer): boolean {
    if (code !== CODE.invalidTimestamp) return false;
    const texts = [...recordErrors.map(({ reason }) => reason), message];
    const told = texts.map(readRange).find((range) => range !== undefined);
    if (told === undefined) return false;
    const before = this.#learned.get(topic);
    let range = told;
    if (before !== undefined) {
      const known = this.#moved(before);
      // Of two brokers' ranges, what both take.
      const minMs = Math.max(known.minMs, told.minMs);
      const maxMs = Math.min(known.maxMs, told.maxMs);
      if (isSame(known, { minMs, maxMs })) return false;
      if (minMs < maxMs) range = { minMs, maxMs };
    }
    this.#learned.set(topic, { ...range, atMonotonicMs: this.#clock.monotonicMs() });
    this.#logger.warn(
      {
        topic,
        event: 'mirror.time-bounds',
        from: timeText(range.minMs),
        to: timeText(range.maxMs),
      },
      `Kafka takes timestamps of topic '${topic}' from ${timeText(range.minMs)} to ` +
        `${timeText(range.maxMs)} only: others are sent with the nearest, and their own in a header`,
    );
    return true;
  }

  #moved({ minMs, maxMs, atMonotonicMs }: LearnedRange): TimeRange {
    const passedMs = Math.floor(this.#clock.monotonicMs() - atMonotonicMs);
    return { minMs: minMs + passedMs, maxMs: maxMs + passedMs };
  }

  /** With a distance from what moves towards us while a batch is under way. */
  #inside({ minMs, maxMs }: TimeRange): TimeRange {
    const quarter = (this.#clock.nowMs() - minMs) / 4;
    const margin = Math.min(LIMITS.kafkaTimeMarginMs, Math.max(quarter, SMALL_MARGIN_MS));
    const half = minMs + (maxMs - minMs) / 2;
    return {
      minMs: Math.min(minMs + margin, half),
      maxMs: Math.max(maxMs - SMALL_MARGIN_MS, half),
    };
  }
}

/** Kafka's LogValidator: "... The timestamp should be within [FROM, TO]", with overflows. */
export function readRange(text: string | null): TimeRange | undefined {
  const parts = /within \[(-?\d+), (-?\d+)\]/u.exec(text ?? '');
  if (parts === null) return undefined;
  const [minMs, maxMs] = [Number(parts[1]), Number(parts[2])];
  return { minMs: Math.max(minMs, -Infinity), maxMs: maxMs < minMs ? Infinity : maxMs };
}

function isSame(one: TimeRange, other: TimeRange): boolean {
  const near = (left: number, right: number): boolean =>
    left === right || Math.abs(left - right) < LIMITS.clockToleranceMs;
  return near(one.minMs, other.minMs) && near(one.maxMs, other.maxMs);
}

function timeText(ms: number): string {
  return ms > 0 && ms < 8e15 ? isoTime(ms) : 'ever';
}

const TYPE = 'message.timestamp.type';
const BEFORE = 'message.timestamp.before.max.ms';
const AFTER = 'message.timestamp.after.max.ms';
/** Before Kafka 3.6, and where the two above are not set (KIP-937). */
const DIFFERENCE = 'message.timestamp.difference.max.ms';
const UNBOUNDED = 2 ** 62;
const TOPIC = ConfigResourceTypes.TOPIC;
const DESCRIBE_CONFIGS = 32;
const VERSION = 2;

/** A service that does not know the request might end the connection over it. */
export function tellsConfigs(versions: Versions): boolean {
  const known = versions.get(DESCRIBE_CONFIGS);
  return known !== undefined && known.min <= VERSION && known.max >= VERSION;
}

/** The limits of those topics whose configuration we may read (DESCRIBE_CONFIGS); never rejects. */
export async function askTimeLimits(
  links: Links,
  broker: Address,
  topics: readonly string[],
): Promise<Map<string, TimeLimits>> {
  const limits = new Map<string, TimeLimits>();
  if (topics.length === 0) return limits;
  const configurationKeys = [TYPE, BEFORE, AFTER, DIFFERENCE];
  const resources = topics.map((resourceName) => ({
    resourceType: TOPIC,
    resourceName,
    configurationKeys,
  }));
  try {
    const answer = await links.call(broker, describeConfigsV2.api, resources, false, false);
    for (const { errorCode, resourceName, configs } of answer.results) {
      const values = new Map(configs.map(({ name, value }) => [name, value ?? null]));
      const limit = errorCode === CODE.none ? limitsOf(values) : undefined;
      if (limit !== undefined) limits.set(resourceName, limit);
    }
  } catch {
    // The link's own trouble comes out with the next request; without the right a refusal tells.
  }
  return limits;
}

/** undefined: every timestamp is taken. */
export function limitsOf(configs: ReadonlyMap<string, string | null>): TimeLimits | undefined {
  if (configs.get(TYPE) === 'LogAppendTime') return undefined;
  const difference = boundOf(configs.get(DIFFERENCE));
  const before = boundOf(configs.get(BEFORE));
  const after = boundOf(configs.get(AFTER));
  const beforeMs = before === Infinity ? difference : before;
  const afterMs = after === Infinity ? difference : after;
  return beforeMs === Infinity && afterMs === Infinity ? undefined : { beforeMs, afterMs };
}

function boundOf(value: string | null | undefined): number {
  const bound = value === null || value === undefined ? Infinity : Number(value);
  return Number.isFinite(bound) && bound < UNBOUNDED ? bound : Infinity;
}
