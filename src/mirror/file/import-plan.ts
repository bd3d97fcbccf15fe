import type { StreamId } from '../../record.ts';
import { ExportContent } from './export-content.ts';
import { listExports, readExport } from './export-files.ts';
import type { ExportOrigin, ExportStream } from './export-header.ts';

/** The files of one mirror, in the order in which they were written, each read and found whole. */
export interface ImportPlan {
  readonly origin: ExportOrigin;
  readonly files: readonly string[];
  /** Each with the first offset that any file has of it. */
  readonly streams: readonly ExportStream[];
  readonly records: number;
}

/** What is in a folder, by mirror. Throws EXPORT_DAMAGED for the first file that is not whole. */
export async function planImport(folder: string): Promise<ImportPlan[]> {
  const plans = new Map<string, Gathered>();
  for (const file of (await listExports(folder)).whole) {
    const content = new ExportContent();
    for await (const piece of readExport(file, content)) {
      if (piece.kind !== 'header') continue;
      const { gateway, incarnation, mirror, target } = piece.header;
      const origin = { gateway, incarnation, mirror, target };
      const name = JSON.stringify(origin);
      const gathered = plans.get(name) ?? new Gathered(origin);
      gathered.begin(file, piece.header.streams);
      plans.set(name, gathered);
    }
    const { gateway = '', incarnation = '', mirror = '', target } = content.header ?? {};
    plans.get(JSON.stringify({ gateway, incarnation, mirror, target }))?.end(content);
  }
  return [...plans.values()];
}

class Gathered implements ImportPlan {
  readonly origin: ExportOrigin;
  readonly files: string[] = [];
  records = 0;
  readonly #streams = new Map<StreamId, ExportStream>();

  constructor(origin: ExportOrigin) {
    this.origin = origin;
  }

  get streams(): ExportStream[] {
    return [...this.#streams.values()];
  }

  begin(file: string, streams: readonly ExportStream[]): void {
    this.files.push(file);
    for (const at of streams) {
      const known = this.#streams.get(at.stream);
      if (known === undefined || at.from < known.from) this.#streams.set(at.stream, at);
    }
  }

  end(content: ExportContent): void {
    this.records += content.records;
  }
}
