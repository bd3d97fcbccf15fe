import { must } from '../assert.ts';
import { NO_HEADERS } from '../headers.ts';
import { LIMITS } from '../limits.ts';
import { gapRecord } from './ledger-entry.ts';
import { GAPS, type LedgerEntry } from '../loss.ts';
import type { CommitLog } from './commit-log.ts';
import type { LedgerOutlet } from './ledger.ts';
import type { LogWriter } from './log.ts';
import type { LogState } from './log-state.ts';
import type { Lookup } from './lookup.ts';
import type { Positions } from './positions.ts';

export interface GapsSurroundings {
  readonly positions: Positions;
  readonly log: CommitLog;
  readonly lookup: Lookup;
}

/** How many entries it was ever given: their numbers end there. */
export function gapsGiven(state: LogState): number {
  return state.producers.last(GAPS) + 1;
}

/**
 * The topic is made with the first entry. As a centre this gateway may have one already, of others.
 *
 * A record that a mirror has not had keeps its segment, and with it all records around it. So while
 * one stands in a segment before the one being written, as in a long outage, entries wait in the ledger.
 */
export function gapsOutlet(
  writer: LogWriter,
  state: LogState,
  { positions, log, lookup }: GapsSurroundings,
): LedgerOutlet {
  const isHeld = async (): Promise<boolean> => {
    const stream = state.registry.get(GAPS)?.streams[0];
    const wanted = stream === undefined ? undefined : positions.pinnedFrom(stream);
    if (stream === undefined || wanted === undefined) return false;
    return wanted < ((await lookup.beginning(log.active))?.next[stream] ?? 0);
  };
  const put = (number: number, entry: LedgerEntry): Promise<void> => {
    const known = state.registry.get(GAPS);
    const topic = writer.defineTopic(GAPS, {
      partitions: known?.options.partitions ?? 1,
      durability: 'fsync',
      retentionMs: LIMITS.gapsRetentionMs,
      retentionBytes: LIMITS.gapsBytes,
    });
    const stream = must(topic.streams[0], 'a topic has a partition');
    const { key, value } = gapRecord(entry);
    return new Promise((resolve, reject) => {
      const done = (error: Error | null): void => (error === null ? resolve() : reject(error));
      const { untilMs } = entry;
      writer.appendOnce(GAPS, number, stream, untilMs, key, value, NO_HEADERS, 'fsync', done);
    });
  };
  return { put, isHeld };
}
