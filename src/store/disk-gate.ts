import type { GatelogError } from '../errors.ts';

const NOBODY: ReadonlyMap<number, GatelogError> = new Map();

/** What stands between the writer and the keeper of the disk: whether an append may come in. */
export class DiskGate {
  /** Why nothing is taken at present. */
  refusal: GatelogError | undefined;
  /** Streams of topics that take nothing at present, and why. */
  refusedStreams: ReadonlyMap<number, GatelogError> = NOBODY;
  /** Appends that were refused. */
  refused = 0;
  /** For once a commit, not once a record: lets the room be measured when that is due. */
  touch: () => void = () => {};
  /** A write found no room; and one found some. */
  full: () => void = () => {};
  wrote: () => void = () => {};

  /** undefined: it may come in. */
  refusalOf(stream: number): GatelogError | undefined {
    if (this.refusal !== undefined) return this.refusal;
    return this.refusedStreams.size === 0 ? undefined : this.refusedStreams.get(stream);
  }

  openStreams(): void {
    this.refusedStreams = NOBODY;
  }
}
