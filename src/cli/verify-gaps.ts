import type { RecordIdentity } from '../identity.ts';
import { LIMITS } from '../limits.ts';
import { type GapJson, gapKey, GAPS, parseGap } from '../loss.ts';
import type { AuditPlace, Auditor } from '../mirror/audit.ts';

/** A record read at the centre. */
export interface Arrival {
  readonly identity: RecordIdentity | undefined;
  /** Stands for the key's bytes one to one. */
  readonly key: string | null;
  /** Wanted of records of `_gaps` only. */
  readonly value: Uint8Array | string | null;
  readonly at: AuditPlace;
}

export interface ArrivalsOptions {
  readonly auditor: Auditor;
  /** Other topics are read for what they declare, and not judged. */
  readonly isAudited: (topic: string) => boolean;
  /** The mirror whose work is judged; undefined: nobody said its name. */
  readonly mirror: string | undefined;
  /** What the gateway's own ledger says, where it is known: told already, and the better word. */
  readonly own: { readonly gateway: string; readonly gaps: readonly GapJson[] } | undefined;
}

/**
 * What is read at the centre, on its way to the auditor. The records of `_gaps` there are the words of
 * the gateways that their identities name: what they declare lost is no fault of the delivery. What
 * is no entry, is not under its key, or carries no identity (the centre's own ledger), declares nothing.
 */
export class Arrivals {
  readonly auditor: Auditor;
  readonly #options: ArrivalsOptions;
  readonly #own: ReadonlySet<string>;
  readonly #told = new Set<string>();
  readonly #mirrors = new Set<string>();
  #count = 0;
  /** Entries beyond what is remembered. */
  leftOut: number = 0;

  constructor(options: ArrivalsOptions) {
    const { auditor, own } = options;
    this.auditor = auditor;
    this.#options = options;
    this.#own = new Set(own?.gaps.map((gap) => beginningOf(own.gateway, gap)));
  }

  /** Whose losses alone some entries tell of, when nobody said which mirror is judged. */
  get mirrors(): readonly string[] {
    return [...this.#mirrors];
  }

  take({ identity, key, value, at }: Arrival): void {
    if (identity?.topic === GAPS) this.#declare(identity.gateway, key, parseGap(value));
    if (this.#options.isAudited(at.topic)) this.auditor.feed(identity, key, at);
  }

  /** The incarnation is the entry's: a gateway whose log began anew tells of the one before. */
  #declare(gateway: string, key: string | null, gap: GapJson | undefined): void {
    if (gap === undefined || gap.partition === null) return;
    if (key !== gapKey(gap.topic, gap.partition)) return;
    if (!this.#concerns(gap) || this.#own.has(beginningOf(gateway, gap))) return;
    // As many records as an entry counts may be missing, however often it was sent.
    const name = `${beginningOf(gateway, gap)}/${gap.lastOffset}/${gap.records}`;
    if (this.#told.has(name)) return;
    if (this.#count >= LIMITS.auditDeclared) {
      this.leftOut++;
      return;
    }
    this.#count++;
    this.#told.add(name);
    tellGap(this.auditor, gateway, gap);
  }

  #concerns({ mirror }: GapJson): boolean {
    if (mirror === null || mirror === this.#options.mirror) return true;
    if (this.#options.mirror === undefined && this.#mirrors.size < LIMITS.auditSamples) {
      this.#mirrors.add(mirror);
    }
    return false;
  }
}

/** An entry that grows keeps it. */
function beginningOf(gateway: string, gap: GapJson): string {
  const { incarnation, topic, partition, firstOffset, reason, mirror } = gap;
  return JSON.stringify([gateway, incarnation, topic, partition, firstOffset, reason, mirror]);
}

export function tellGap(auditor: Auditor, gateway: string, gap: GapJson): void {
  const { incarnation, topic, partition, firstOffset, lastOffset, records, reason, detail } = gap;
  if (partition === null || firstOffset === null || lastOffset === null) return;
  const source = { gateway, incarnation, topic, partition };
  const range = { from: firstOffset, to: lastOffset + 1 };
  if (reason === 'rewound') auditor.declareResent(source, range);
  else auditor.declareLost(source, range, `${reason}: ${detail}`, records);
}
