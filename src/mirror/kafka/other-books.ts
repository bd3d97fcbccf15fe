import { type Coverage, type Coverages, union, upTo } from '../../coverage.ts';
import type { StreamId } from '../../record.ts';
import type { KeyValue } from '../../store/log.ts';
import { Journal } from './journal.ts';

/** What a mirror of another name of the same data folder keeps. */
export interface OtherBooks {
  readonly journal: KeyValue;
  readonly positions: Coverages;
}

/**
 * A mirror may get another name. Its positions at the far side go by the gateway and stay, its books go by
 * the name and begin anew: what was sent to this cluster under other names is in theirs.
 */
export async function sentUnderOtherNames(
  clusterId: string,
  others: readonly OtherBooks[],
): Promise<Coverages> {
  const sent = new Map<StreamId, Coverage>();
  for (const { journal: values, positions } of others) {
    const journal = new Journal(values);
    if ((await journal.clusterId()) !== clusterId) continue;
    const entry = await journal.read();
    const { had: exported } = await journal.exported();
    const books = [positions, entry?.confirmed, entry?.after, exported, await journal.aside()];
    for (const [stream, had] of books.flatMap((of) => [...(of ?? [])]))
      sent.set(stream, union(had, sent.get(stream) ?? upTo(0)));
  }
  return sent;
}
