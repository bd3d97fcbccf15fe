import { GatelogError, messageOf } from '../../errors.ts';
import { identityPrefix } from '../../identity.ts';
import type { StreamId } from '../../record.ts';
import type { KeyValue, LogReader } from '../../store/log.ts';
import type { MirrorStream } from '../upstream.ts';

/** Offsets, `to` is one past the last. */
interface Range {
  readonly from: number;
  readonly to: number;
}

/** A stream in one session. */
export interface Place extends MirrorStream {
  /** Of its records' identities. */
  readonly prefix: string;
  /** Under these offsets the far side has records that are not ours: ours are put aside. */
  readonly aside: readonly Range[];
  /** One past the record that an earlier session sent alone, its answer unknown; 0 when there is none. */
  readonly tried: number;
  /** Highest offset that this session sent; -1 before the first. */
  sent: number;
  /** False: the next record is sent alone, and its answer tells whether the far side has others. */
  proven: boolean;
}

/** The first record that a session sends of a stream. */
interface First {
  readonly place: Place;
  readonly offset: number;
}

/** What is kept of a stream; nothing once it is proven and was never in doubt. */
interface Stored {
  /** Nothing was sent from here on, but for `tried`; null: where the log ended when it was opened. */
  readonly below: number | null;
  readonly tried: number;
  readonly aside: readonly Range[];
  /** Waits for a person. */
  readonly doubt: Range | null;
  /** A person has said where to go on since: the next doubt is put aside without asking. */
  readonly decided: boolean;
}

interface Entry {
  below: number;
  tried: number;
  aside: Range[];
  doubt: Range | null;
  decided: boolean;
  proven: boolean;
  /** Highest offset sent by sessions of this process that are over. */
  high: number;
  readonly live: Set<Place>;
}

export interface Owner {
  readonly where: string;
  readonly gateway: string;
  readonly incarnation: string;
}

const KEY = 'sent';

/**
 * What this data folder can have sent to one far side, whichever of its mirrors did. A central that
 * takes a record for a repeat says what it has last of that partition. We sent nothing beyond the
 * end that the log had when it was opened, and beyond what this process has sent since. If the
 * central has, the log lost its end or is an older copy, or a copy of it sends too: its offsets are
 * given to other records, and ours would be dropped as repeats.
 *
 * A process that sends nothing of a partition leaves the bound where it was, durably: else a restart
 * would move it past what was lost. Of each partition the first record beyond it goes alone, so that
 * nothing of ours stands among the others' before the answer is there. Its number is noted first: what
 * an earlier session sent, its answer unknown, is ours. Those of all partitions at hand go together:
 * two small writes and one round trip.
 */
export class OwnRecords {
  readonly #values: KeyValue;
  /** Where the streams ended when the log was opened; those not there began later. */
  readonly #ends: ReadonlyMap<StreamId, number>;
  /** The state database stepped back: what was noted there is of an earlier life, or may be. */
  readonly #isDoubtful: boolean;
  readonly #alsoTo: (topic: string) => readonly string[];
  readonly #entries = new Map<string, Entry>();
  #stored: Promise<Map<string, Stored>> | undefined;
  #saving: Promise<void> = Promise.resolve();
  #unsaved = false;

  /** MUST be made before anything is appended. `alsoTo`: where else mirrors of this process send a stream. */
  constructor(
    values: KeyValue,
    reader: Pick<LogReader, 'topics' | 'range'>,
    isDoubtful: boolean = false,
    alsoTo: (topic: string) => readonly string[] = () => [],
  ) {
    this.#alsoTo = alsoTo;
    this.#values = values;
    this.#isDoubtful = isDoubtful;
    const streams = reader.topics().flatMap((topic) => topic.streams);
    this.#ends = new Map(streams.map((stream) => [stream, reader.range(stream).endOffset]));
  }

  /**
   * At a start, for all that may be sent there: a mirror that is paused sends nothing, and its bound
   * must not move on with the next start either.
   */
  async expects(
    owner: Pick<Owner, 'gateway' | 'incarnation'>,
    streams: readonly MirrorStream[],
  ): Promise<void> {
    const stored = await this.#load();
    let changed = this.#unsaved;
    for (const at of streams) {
      const known = stored.get(identityPrefix({ ...owner, ...at }));
      changed = known?.below !== this.#entry(owner, at, known).below || changed;
    }
    if (changed) await this.#save();
  }

  /** Throws UPSTREAM_MISMATCH when a stream waits for a person; `seek` is a person's word. */
  async begin(
    owner: Owner,
    streams: readonly MirrorStream[],
    seek: ReadonlyMap<StreamId, number>,
  ): Promise<Place[]> {
    const stored = await this.#load();
    let changed = this.#unsaved;
    const found = streams.map((at) => {
      const prefix = identityPrefix({ ...owner, ...at });
      const known = stored.get(prefix);
      const isNew = !this.#entries.has(prefix);
      const entry = this.#entry(owner, at, known);
      changed ||= isNew && known?.below !== entry.below;
      if (seek.has(at.stream)) changed = decide(entry) || changed;
      return { at, prefix, entry };
    });
    if (changed) await this.#save();
    for (const { at, entry } of found) {
      if (entry.doubt !== null) throw this.#doubtError(owner, at, entry.doubt);
    }
    return found.map(({ at, prefix, entry }) => {
      const { aside, tried, proven } = entry;
      const place: Place = { ...at, prefix, aside: [...aside], tried, proven, sent: -1 };
      entry.live.add(place);
      return place;
    });
  }

  /** For a far side to which no identity goes, so that it never knows repeats. */
  unwatched(owner: Owner, streams: readonly MirrorStream[]): Place[] {
    return streams.map((at) => {
      const prefix = identityPrefix({ ...owner, ...at });
      return { ...at, prefix, aside: [], tried: 0, proven: true, sent: -1 };
    });
  }

  /** Their session is over. */
  left(places: readonly Place[]): void {
    for (const place of places) {
      const entry = this.#entries.get(place.prefix);
      if (entry?.live.delete(place) === true) entry.high = Math.max(entry.high, place.sent);
    }
  }

  /** Before the first records of streams are sent; one write for all of them. */
  async tries(firsts: readonly First[]): Promise<void> {
    const fresh = firsts
      .map(({ place, offset }) => ({ entry: this.#of(place.prefix), offset }))
      .filter(({ entry, offset }) => !entry.proven && offset >= Math.max(entry.below, entry.tried))
      .map(({ entry, offset }) => ({ entry, offset, before: entry.tried }));
    if (fresh.length === 0) return;
    for (const { entry, offset } of fresh) entry.tried = offset + 1;
    try {
      await this.#save();
    } catch (error) {
      for (const { entry, before } of fresh) entry.tried = before; // They will not be sent.
      throw error;
    }
  }

  /**
   * The first records of these were taken, or are there as ours: the far side has nothing else
   * beyond them. One write for all of them.
   */
  async proved(places: readonly Place[]): Promise<void> {
    const fresh = places.map(({ prefix }) => this.#of(prefix)).filter(({ proven }) => !proven);
    const before = fresh.map(({ decided }) => decided);
    for (const entry of fresh) {
      entry.proven = true;
      entry.decided = false;
    }
    try {
      if (fresh.length > 0) await this.#save();
    } catch (error) {
      for (const [at, entry] of fresh.entries()) {
        entry.proven = false;
        entry.decided = before[at] ?? false;
      }
      throw error;
    }
    for (const place of places) place.proven = true;
  }

  /** The far side says that it has the stream up to `last`: can that be what we sent? */
  isForeign(place: Place, last: number): boolean {
    const { below, high, live } = this.#of(place.prefix);
    // Of this session nothing counts: it sends in order, and the far side judges in order.
    const others = [...live].filter((one) => one !== place).map(({ sent }) => sent + 1);
    return last >= Math.max(below, place.tried, high + 1, ...others);
  }

  /** Durable when resolved: the stream goes on only by a person's word. Gives the error to end with. */
  async foreign(owner: Owner, place: Place, offset: number, last: number): Promise<GatelogError> {
    const entry = this.#of(place.prefix);
    const doubt = { from: Math.max(entry.below, offset), to: last + 1 };
    entry.doubt = doubt;
    const decided = entry.decided && decide(entry);
    entry.proven = false;
    entry.tried = 0;
    await this.#save();
    if (!decided) return this.#doubtError(owner, place, doubt);
    const { topic, partition } = place;
    return new GatelogError(
      'UPSTREAM_UNREACHABLE',
      `${owner.where} has other records under ${topic}/${partition} ${rangeText(doubt)}: ours are put into quarantine, since a person said where to go on`,
    );
  }

  #doubtError(owner: Owner, at: MirrorStream, doubt: Range): GatelogError {
    return doubtError(owner, at, doubt, this.#alsoTo(at.topic));
  }

  #entry(
    owner: Pick<Owner, 'gateway' | 'incarnation'>,
    at: MirrorStream,
    known: Stored | undefined,
  ): Entry {
    const prefix = identityPrefix({ ...owner, ...at });
    const entry = this.#entries.get(prefix) ?? entryOf(known, this.#ends.get(at.stream) ?? 0);
    this.#entries.set(prefix, entry);
    return entry;
  }

  #of(prefix: string): Entry {
    const entry = this.#entries.get(prefix);
    if (entry === undefined) throw new GatelogError('INTERNAL', `${prefix} was not begun`);
    return entry;
  }

  #load(): Promise<Map<string, Stored>> {
    this.#stored ??= this.#read().catch((error: unknown) => {
      this.#stored = undefined;
      throw error;
    });
    return this.#stored;
  }

  async #read(): Promise<Map<string, Stored>> {
    const bytes = await this.#values.get(KEY);
    if (bytes === undefined) return new Map();
    try {
      const found = JSON.parse(Buffer.from(bytes).toString('utf8')) as [string, Stored][];
      if (!this.#isDoubtful) return new Map(found);
      this.#unsaved = true;
      return new Map(
        found.filter(([, one]) => isJudged(one)).map(([name, one]) => [name, anew(one)]),
      );
    } catch (error) {
      const text = `what the MQTT mirror has sent is not readable: ${messageOf(error)}`;
      throw new GatelogError('STORE_CORRUPT', text, { cause: error });
    }
  }

  #save(): Promise<void> {
    this.#unsaved = true;
    this.#saving = this.#saving.catch(() => {}).then(() => this.#write());
    return this.#saving;
  }

  async #write(): Promise<void> {
    const kept = new Map(await this.#load());
    for (const [prefix, entry] of this.#entries) {
      const { below, tried, aside, doubt, decided, proven } = entry;
      if (proven && aside.length === 0 && doubt === null) kept.delete(prefix);
      else if (proven) kept.set(prefix, { below: null, tried: 0, aside, doubt, decided });
      else kept.set(prefix, { below, tried, aside, doubt, decided });
    }
    await this.#values.put(KEY, Buffer.from(JSON.stringify([...kept])));
    this.#unsaved = false;
  }
}

/** It says something that only the far side's answers and a person can have said. */
function isJudged({ aside, doubt }: Stored): boolean {
  return aside.length > 0 || doubt !== null;
}

function anew(stored: Stored): Stored {
  return { ...stored, below: null, tried: 0 };
}

function entryOf(stored: Stored | undefined, end: number): Entry {
  const { tried = 0, aside = [], doubt = null, decided = false } = stored ?? {};
  const below = stored?.below ?? end;
  return {
    below,
    tried,
    aside: [...aside],
    doubt,
    decided,
    proven: false,
    high: -1,
    live: new Set(),
  };
}

/** A person has said where to go on. True when that changes something. */
function decide(entry: Entry): boolean {
  const { doubt, decided, proven } = entry;
  if (doubt !== null) {
    entry.doubt = null;
    entry.aside.push(doubt);
    entry.below = Math.max(entry.below, doubt.to);
  } else if (proven || decided) return false;
  entry.decided = true;
  return true;
}

function doubtError(
  { where, gateway }: Owner,
  { topic, partition }: MirrorStream,
  doubt: Range,
  alsoTo: readonly string[],
): GatelogError {
  const [other] = alsoTo;
  const twice =
    other === undefined
      ? ''
      : `; or ${other}, where this gateway sends ${topic} too, is the same central under another address: then give both mirrors one address`;
  return new GatelogError(
    'UPSTREAM_MISMATCH',
    `${where} has other records of gateway '${gateway}' under ${topic}/${partition} ${rangeText(doubt)} than this data folder: the folder lost its newest records or is an older copy, or a copy of it sends too${twice}. What this log holds under them would be dropped as repeats. Give this gateway a name of its own (gatelog run --gateway NAME --adopt), which sends it; or seek ${topic}/${partition} to where it shall go on and resume the mirror: what the far side has others for is put into _quarantine`,
  );
}

/** The far side has another record under this offset. */
export function isAside({ aside }: Place, offset: number): boolean {
  return aside.some(({ from, to }) => offset >= from && offset < to);
}

function rangeText({ from, to }: Range): string {
  return `${from} to ${to - 1}`;
}
