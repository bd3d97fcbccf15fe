import { type Coverages, fromFlat, union, upTo } from '../../src/coverage.ts';
import { ExportContent } from '../../src/mirror/file/export-content.ts';
import { ExportFiles, nextNumber } from '../../src/mirror/file/export-files.ts';
import { heldExports } from '../../src/mirror/file/export-had.ts';
import type { ExportOrigin } from '../../src/mirror/file/export-header.ts';
import { exportFrames } from '../../src/mirror/file/export-source.ts';
import { FrameParser } from '../../src/mirror/file/frames.ts';
import { planImport } from '../../src/mirror/file/import-plan.ts';
import {
  importFiles,
  type ImportOptions,
  type ImportResult,
} from '../../src/mirror/file/import.ts';
import { Pacer } from '../../src/mirror/pacer.ts';
import { streamsOf } from '../../src/mirror/selection.ts';
import { seededRandom } from '../../src/random.ts';
import { streamId } from '../../src/record.ts';
import type { TopicInfo } from '../../src/store/log.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import type { MemoryLog } from './memory-log.ts';

/** Records that are carried, as the commands do it, without their processes. */

const NEVER = new AbortController().signal;

export interface CarriedFrom {
  readonly folder: string;
  readonly log: MemoryLog;
  readonly topic: TopicInfo;
  readonly origin: ExportOrigin;
  /** Of the export, by the gateway's books. */
  readonly number: number;
  readonly madeMs: number;
  /** By the gateway's books. */
  readonly sent?: Coverages;
}

/** As the command does; the records written. */
export async function exportTo(from: CarriedFrom): Promise<number> {
  const { folder, topic, origin, number, madeMs, sent = new Map() } = from;
  const { reader } = from.log;
  const had = new Map(sent);
  for (const held of await heldExports(folder)) {
    for (const [, partition, next, ahead] of held.had) {
      const stream = topic.streams[partition] ?? streamId(-1);
      had.set(stream, union(had.get(stream) ?? upTo(0), fromFlat(next, ahead)));
    }
  }
  const streams = streamsOf(reader.topics());
  const ends = new Map(streams.map(({ stream }) => [stream, reader.range(stream).endOffset]));
  const asked = { reader, origin, number, madeMs, streams, sent, had, ends, signal: NEVER };
  const content = new ExportContent();
  const parser = new FrameParser();
  let files: ExportFiles | undefined;
  for await (const bytes of exportFrames(asked)) {
    // In pieces, as a socket gives them.
    for (const part of [bytes.subarray(0, 5), bytes.subarray(5)]) {
      for (const frame of parser.push(part)) {
        const piece = await content.take(frame);
        if (piece.kind === 'header') {
          const first = await nextNumber(folder, piece.header);
          files = new ExportFiles(folder, piece.header, first);
        } else await files?.write(frame, piece);
      }
    }
  }
  await files?.seal();
  return content.records;
}

/** Everything in the folder; waits between tries are next to nothing. */
export async function importFrom(
  folder: string,
  options: Pick<ImportOptions, 'upstream'> & Partial<ImportOptions>,
): Promise<ImportResult> {
  const clock = systemClock;
  const pacer = new Pacer({
    name: 'central',
    backoff: { firstMs: 1, maxMs: 2 },
    clock,
    random: seededRandom(1),
    logger: silentLogger,
  });
  let [sent, skipped] = [0, 0];
  for (const plan of await planImport(folder)) {
    const refused = (): Promise<void> => Promise.resolve();
    const result = await importFiles({ plan, refused, pacer, clock, signal: NEVER, ...options });
    sent += result.sent;
    skipped += result.skipped;
  }
  return { sent, skipped };
}
