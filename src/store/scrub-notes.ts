import { packed } from './pack.ts';
import { isWhole, unpackedList } from './unpack.ts';

/** Where a pass stands that was not finished. */
export interface Place {
  /** The next commit to be looked at. */
  readonly commit: number;
  readonly findings: number;
  readonly bytes: number;
}

export interface LastPass {
  readonly finishedMs: number;
  readonly findings: number;
  readonly bytes: number;
}

export function stored(note: Place | LastPass): Buffer {
  const { findings, bytes } = note;
  return packed(['commit' in note ? note.commit : note.finishedMs, findings, bytes]);
}

/** undefined when there is none, or nobody can make sense of it: then the pass begins anew. */
export function placeOf(value: Uint8Array | undefined): Place | undefined {
  const [commit, findings, bytes] = numbersOf(value);
  if (commit === undefined || findings === undefined || bytes === undefined) return undefined;
  return { commit, findings, bytes };
}

export function lastPassOf(value: Uint8Array | undefined): LastPass | undefined {
  const [finishedMs, findings, bytes] = numbersOf(value);
  if (finishedMs === undefined || findings === undefined || bytes === undefined) return undefined;
  return { finishedMs, findings, bytes };
}

function numbersOf(value: Uint8Array | undefined): readonly (number | undefined)[] {
  const list = value === undefined ? undefined : unpackedList(value);
  return (list ?? []).map((part) => (isWhole(part) ? part : undefined));
}
