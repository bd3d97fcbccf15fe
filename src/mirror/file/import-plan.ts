import { type Coverage, union, upTo } from '../../coverage.ts';
import type { StreamId } from '../../record.ts';
import { ExportContent } from './export-content.ts';
import { listExports, readExport } from './export-files.ts';
import type { ExportOrigin, ExportStream } from './export-header.ts';
import type { MirrorStream } from '../upstream.ts';

/** The files of one mirror, in the order in which they were written, each read and found whole. */
export interface ImportPlan {
  readonly origin: ExportOrigin;
  readonly files: readonly string[];
  /** Each with what the far side had by the gateway's own books, when the last of them was written. */
  readonly streams: readonly PlannedStream[];
  readonly records: number;
  /** How many topics these are of: the books tell of others too. */
  readonly topics: number;
}

export interface PlannedStream extends MirrorStream {
  readonly had: Coverage;
}

/** What is in a folder, by mirror. Throws EXPORT_DAMAGED for the first file that is not whole. */
export async function planImport(folder: string): Promise<ImportPlan[]> {
  const plans = new Map<string, Gathered>();
  for (const file of (await listExports(folder)).whole) {
    const content = new ExportContent();
    let plan: Gathered | undefined;
    for await (const piece of readExport(file, content)) {
      if (piece.kind === 'records') plan?.holds(piece.slice.stream);
      if (piece.kind !== 'header') continue;
      const { gateway, incarnation, mirror, target } = piece.header;
      const origin = { gateway, incarnation, mirror, target };
      const name = JSON.stringify(origin);
      const gathered = plans.get(name) ?? new Gathered(origin);
      gathered.begin(file, piece.header.streams);
      plans.set(name, gathered);
      plan = gathered;
    }
    plan?.end(content);
  }
  return [...plans.values()];
}

class Gathered implements ImportPlan {
  readonly origin: ExportOrigin;
  readonly files: string[] = [];
  records = 0;
  readonly #streams = new Map<StreamId, PlannedStream>();
  /** Those of which there are records. */
  readonly #holding = new Set<StreamId>();

  constructor(origin: ExportOrigin) {
    this.origin = origin;
  }

  get streams(): PlannedStream[] {
    return [...this.#streams.values()];
  }

  begin(file: string, streams: readonly ExportStream[]): void {
    this.files.push(file);
    for (const { stream, topic, partition, sent } of streams) {
      const had = union(this.#streams.get(stream)?.had ?? upTo(0), sent);
      this.#streams.set(stream, { stream, topic, partition, had });
    }
  }

  get topics(): number {
    const names = [...this.#holding].map((stream) => this.#streams.get(stream)?.topic);
    return new Set(names).size;
  }

  holds(stream: StreamId): void {
    this.#holding.add(stream);
  }

  end(content: ExportContent): void {
    this.records += content.records;
  }
}
