/** A range of offsets that went away with what was set aside, as far as it is known. */
export interface HeldRange {
  readonly topic: string;
  readonly partition: number;
  readonly fromOffset: number;
  /** One past the last. */
  readonly toOffset: number;
}

/** For people: why something was set aside, and what it held. */
export interface AsideNote {
  readonly why: string;
  /** Commit numbers, the second one past the last; undefined: not known. */
  readonly commits?: readonly [from: number, to: number | undefined];
  readonly held?: readonly HeldRange[];
}

/** Name of the state database; segments are named by their first commit. */
export const STATE = 'state';

/** Why a table is set aside. */
export const UNINDEXED = 'its index is damaged: a new table was made of the blocks found in it';

/** What a database is called for people. */
export function whatOf(name: string): string {
  return name === STATE ? name : `segment-${name}`;
}
