import { must } from '../assert.ts';
import { NO_HEADERS } from '../headers.ts';
import { LIMITS } from '../limits.ts';
import { gapRecord } from './ledger-entry.ts';
import type { LedgerOutlet } from './ledger.ts';
import type { LogWriter } from './log.ts';
import type { LogState } from './log-state.ts';

/** The topic of the loss ledger, and the producer that its records come from. */
export const GAPS = '_gaps';

/** The topic is made with the first entry. As a centre this gateway may have one already, of others. */
export function gapsOutlet(writer: LogWriter, state: LogState): LedgerOutlet {
  return (number, entry) => {
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
}
