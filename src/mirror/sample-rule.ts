import { formatDuration } from '../units.ts';

/** Of a topic only the last record of each key in each window is sent. */
export interface SampleRule {
  /** While the link is metered, or always. */
  readonly when: 'metered' | 'always';
  /** How long a window is. */
  readonly perMs: number;
  /** What is left out is sent when the rule does not apply any more; or never, and the ledger says so. */
  readonly rest: 'later' | 'ledger';
}

const KEEP = 'last per key per ';

/** `last per key per 1m` */
export function keepText({ perMs }: Pick<SampleRule, 'perMs'>): string {
  return `${KEEP}${formatDuration(perMs)}`;
}

/** The duration of such a text; undefined when it is none. */
export function keepDuration(text: string): string | undefined {
  return text.startsWith(KEEP) ? text.slice(KEEP.length) : undefined;
}

export function sameRule(one: SampleRule | undefined, other: SampleRule | undefined): boolean {
  return one?.when === other?.when && one?.perMs === other?.perMs && one?.rest === other?.rest;
}
