import type { Store } from '../../src/store/log.ts';
import { LOAD_TOPICS, READERS } from './load-plan.ts';

interface Range {
  readonly from: number;
  readonly to: number;
}

/**
 * What retention took before the pinning reader had it stands in the loss ledger, and nothing that
 * can still be read does. A power cut is no damage: nothing is declared lost by the disk.
 */
export class LedgerCheck {
  readonly #problem: (text: string) => void;
  /** By place: gaps that the pinning reader was told of and passed over. */
  readonly #passed = new Map<string, Range[]>();
  declared = 0;

  constructor(problem: (text: string) => void) {
    this.#problem = problem;
  }

  /** Fields of a line `G`. */
  passed([reader = '', topic = '', partition = '', from, to, reason]: readonly string[]): void {
    if (reader !== READERS[0].name || reason !== 'retention') return;
    const place = `${topic}/${partition}`;
    const ranges = this.#passed.get(place) ?? [];
    ranges.push({ from: Number(from), to: Number(to) });
    this.#passed.set(place, ranges);
  }

  async check(store: Store): Promise<void> {
    const declared = await this.#declared(store);
    const positions = await store.positions(READERS[0].name, { pins: true });
    for (const { name } of LOAD_TOPICS) {
      for (const [partition, stream] of (store.reader.topic(name)?.streams ?? []).entries()) {
        const place = `${name}/${partition}`;
        const ranges = declared.get(place) ?? [];
        const { startOffset } = store.reader.range(stream);
        for (const { from, to } of ranges) {
          if (to <= startOffset) continue;
          this.#problem(`${place}: ${from} to ${to} is declared lost, the start is ${startOffset}`);
        }
        const position = positions.get(stream) ?? 0;
        const unread = position < startOffset ? [{ from: position, to: startOffset }] : [];
        for (const gap of [...(this.#passed.get(place) ?? []), ...unread]) {
          this.#isDeclared(place, gap, ranges);
        }
      }
    }
  }

  async #declared(store: Store): Promise<Map<string, Range[]>> {
    const declared = new Map<string, Range[]>();
    this.declared = 0;
    for await (const entry of store.ledger.entries()) {
      const { topic, partition, fromOffset, toOffset, reason, records } = entry;
      if (reason === 'corruption') {
        this.#problem(`${topic}/${partition}: ${fromOffset} to ${toOffset}: ${entry.detail}`);
      }
      if (reason !== 'retention' || fromOffset === undefined || toOffset === undefined) continue;
      this.declared += records;
      const ranges = declared.get(`${topic}/${partition}`) ?? [];
      ranges.push({ from: fromOffset, to: toOffset });
      declared.set(`${topic}/${partition}`, ranges);
    }
    return declared;
  }

  #isDeclared(place: string, { from, to }: Range, ranges: readonly Range[]): void {
    let next = from;
    for (const range of ranges.toSorted((left, right) => left.from - right.from)) {
      if (range.from <= next) next = Math.max(next, range.to);
    }
    if (next >= to) return;
    this.#problem(`${place}: ${next} to ${to} left unread, and is not in the loss ledger`);
  }
}
