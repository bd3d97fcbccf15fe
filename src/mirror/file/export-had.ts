import { type Coverage, type Coverages, flat, union, upTo } from '../../coverage.ts';
import type { StreamId } from '../../record.ts';
import { ExportContent } from './export-content.ts';
import { listExports, readExport } from './export-files.ts';
import type { ExportHeader, ExportStream } from './export-header.ts';

/** Topic, partition, next offset, and ranges ahead of it: what need not be exported again. */
export type ExportHad = readonly [
  topic: string,
  partition: number,
  next: number,
  ahead: readonly number[],
];

/** What whole files hold of one mirror, in one life of its data folder. */
export interface ExportHeld {
  readonly gateway: string;
  readonly incarnation: string;
  readonly mirror: string;
  readonly had: readonly ExportHad[];
}

/** Reads every file to its end. Throws EXPORT_DAMAGED. */
export async function heldExports(folder: string): Promise<ExportHeld[]> {
  const held = new Map<string, Held>();
  for (const file of (await listExports(folder)).whole) {
    const content = new ExportContent();
    for await (const piece of readExport(file, content)) {
      if (piece.kind !== 'header') continue;
      const { gateway, incarnation, mirror } = piece.header;
      const name = `${gateway}/${incarnation}/${mirror}`;
      held.set(name, held.get(name) ?? new Held(piece.header));
    }
    const { gateway = '', incarnation = '', mirror = '', streams = [] } = content.header ?? {};
    held.get(`${gateway}/${incarnation}/${mirror}`)?.add(streams, content.held);
  }
  return [...held.values()].map(({ gateway, incarnation, mirror, had }) => ({
    gateway,
    incarnation,
    mirror,
    had,
  }));
}

class Held implements ExportHeld {
  readonly gateway: string;
  readonly incarnation: string;
  readonly mirror: string;
  readonly #had = new Map<StreamId, { readonly at: ExportStream; coverage: Coverage }>();

  constructor({ gateway, incarnation, mirror }: ExportHeader) {
    this.gateway = gateway;
    this.incarnation = incarnation;
    this.mirror = mirror;
  }

  get had(): ExportHad[] {
    return [...this.#had.values()].map(({ at, coverage }) => [
      at.topic,
      at.partition,
      coverage.next,
      flat(coverage)[1] ?? [],
    ]);
  }

  add(streams: readonly ExportStream[], held: Coverages): void {
    for (const at of streams) {
      const known = this.#had.get(at.stream) ?? { at, coverage: upTo(0) };
      known.coverage = union(known.coverage, held.get(at.stream) ?? upTo(0));
      this.#had.set(at.stream, known);
    }
  }
}
