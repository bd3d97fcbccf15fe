import { HEALTH_LIMITS } from '../health-limits.ts';
import { type HealthJson, METRICS, parseHealth } from '../health.ts';
import { type GapJson, GAPS, parseGap } from '../loss.ts';
import { parseIsoTime } from '../time.ts';

/** What a fleet's operator wants to know of one gateway. A line of `gatelog fleet --json`: field names are API. */
export interface GatewayJson {
  readonly gateway: string;
  /** How long ago it told of itself; null: not in the time that was looked at. */
  readonly ageMs: number | null;
  /** It told nothing for some of its intervals: it, or its link, is down. Or its clock is so far ahead that nobody knows. */
  readonly late: boolean;
  readonly health: HealthJson | null;
  readonly lastLoss: LastLoss | null;
}

export type LastLoss = Pick<GapJson, 'to' | 'topic' | 'reason' | 'records' | 'detail'>;

interface Known {
  health: HealthJson | null;
  /** Where that stood. */
  place: Place | null;
  lastLoss: LastLoss | null;
}

/** In a gateway's own log: of one incarnation the later one has the greater offset, whatever its clock said. */
interface Place {
  readonly incarnation: string;
  readonly offset: number;
}

/** A record that a gateway wrote of itself. Who wrote it, and where, its identity says, not its text. */
export interface Told extends Place {
  readonly gateway: string;
  readonly topic: string;
  readonly own: Uint8Array | null;
}

/** The latest of `_metrics` and `_gaps`, by gateway. */
export class FleetBook {
  readonly #known = new Map<string, Known>();

  take({ gateway, topic, own, incarnation, offset }: Told): void {
    const health = topic === METRICS ? parseHealth(own) : undefined;
    const gap = topic === GAPS ? parseGap(own) : undefined;
    if (health === undefined && gap === undefined) return;
    const known = this.#of(gateway);
    if (known === undefined) return;
    const place = { incarnation, offset };
    if (health !== undefined && isLater(health, place, known)) {
      known.health = { ...health, gateway };
      known.place = place;
    }
    if (gap !== undefined && isAfter(gap.to, known.lastLoss?.to)) {
      const { to, topic: lost, reason, records, detail } = gap;
      known.lastLoss = { to, topic: lost, reason, records, detail };
    }
  }

  /** By name. */
  gateways(nowMs: number): GatewayJson[] {
    return [...this.#known]
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([gateway, { health, lastLoss }]) => {
        const ageMs = health === null ? null : nowMs - (parseIsoTime(health.time) ?? nowMs);
        const patienceMs = (health?.intervalMs ?? 0) * HEALTH_LIMITS.lateIntervals;
        const late = ageMs === null || Math.abs(ageMs) > patienceMs;
        return { gateway, ageMs, late, health, lastLoss };
      });
  }

  #of(gateway: string): Known | undefined {
    const known = this.#known.get(gateway);
    if (known !== undefined || this.#known.size >= HEALTH_LIMITS.gateways) return known;
    const fresh: Known = { health: null, place: null, lastLoss: null };
    this.#known.set(gateway, fresh);
    return fresh;
  }
}

/** A clock that once stood years ahead makes no record the latest for years. */
function isLater({ time }: HealthJson, { incarnation, offset }: Place, known: Known): boolean {
  return known.place?.incarnation === incarnation
    ? offset >= known.place.offset
    : isAfter(time, known.health?.time);
}

/** A record that was sent again, or comes late from another partition, is not the latest. */
function isAfter(time: string, known: string | undefined): boolean {
  return known === undefined || (parseIsoTime(time) ?? 0) >= (parseIsoTime(known) ?? 0);
}
