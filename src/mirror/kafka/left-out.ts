import {
  type Coverage,
  type Coverages,
  covers,
  parseCoverage,
  union,
  upTo,
} from '../../coverage.ts';
import type { StreamId } from '../../record.ts';
import type { MirrorStream } from '../upstream.ts';
import type { Journal, JournalEntry } from './journal.ts';
import type { PositionsAnswer } from './offset-fetch.ts';

/**
 * A session may be about some of a gateway's streams only: a link policy, a pause or a refused topic
 * leaves others out. The journal holds one transaction, so the first one of such a session takes the
 * place of one whose outcome may be open for streams that are left out; and with it would go the only
 * word in our books that a position of theirs at the far side is ours. So what became of that
 * transaction is found out for them as well, and set aside before another is written.
 */
export interface LeftOut {
  readonly journal: Pick<Journal, 'aside' | 'setAside'>;
  readonly entry: JournalEntry | undefined;
  /** Those of the session. */
  readonly streams: ReadonlyMap<StreamId, MirrorStream>;
  /** A person's word, which counts more than what was set aside. */
  readonly seek: ReadonlyMap<StreamId, number>;
  /** Read after everything was taken over; of `inDoubtElsewhere`, too. */
  readonly answer: PositionsAnswer;
  /** Where streams stand that the far side forgot, by the records of the transaction themselves. */
  readonly settle: (forgotten: Coverages) => Promise<Coverages>;
}

/** Streams that the session leaves out and the journal's transaction is about. */
export function inDoubtElsewhere(
  entry: JournalEntry | undefined,
  streams: ReadonlyMap<StreamId, MirrorStream>,
): StreamId[] {
  return [...(entry?.after.keys() ?? [])].filter((stream) => !streams.has(stream));
}

/** MUST be done before a session writes a transaction into the journal. */
export async function setAsideLeftOut(found: LeftOut): Promise<void> {
  const { journal, entry, streams, seek, answer, settle } = found;
  const aside = new Map(await journal.aside());
  const add = (stream: StreamId, had: Coverage): void => {
    aside.set(stream, union(had, aside.get(stream) ?? upTo(0)));
  };
  for (const [stream, had] of entry?.confirmed ?? []) add(stream, had);
  const forgotten = new Map<StreamId, Coverage>();
  for (const stream of inDoubtElsewhere(entry, streams)) {
    const confirmed = aside.get(stream) ?? upTo(0);
    const far = farOf(answer, stream);
    if (far === undefined) forgotten.set(stream, confirmed);
    // Beyond both it is not ours, which a session that has the stream finds.
    else if (covers(union(confirmed, entry?.after.get(stream) ?? upTo(0)), far)) add(stream, far);
  }
  if (forgotten.size > 0) for (const [stream, had] of await settle(forgotten)) add(stream, had);
  for (const [stream, had] of aside) {
    const here = streams.get(stream);
    if (here === undefined) continue;
    if (seek.has(stream) || covers(here.had ?? upTo(0), had)) aside.delete(stream);
  }
  await journal.setAside(aside);
}

function farOf(answer: PositionsAnswer, stream: StreamId): Coverage | undefined {
  const { offset, metadata } = answer.positions.get(stream) ?? { offset: -1, metadata: null };
  return offset < 0 ? undefined : parseCoverage(offset, (metadata ?? '').split('+', 2)[1] ?? '');
}
