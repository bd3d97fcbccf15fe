import type { TopicClass } from '../selection.ts';
import type { PeriodUnit } from './period.ts';

export const HOLD_CAUSES = ['over budget', 'waiting for schedule', 'metered'] as const;
export type HoldCause = (typeof HOLD_CAUSES)[number];

/** Classes that are held back, and why. Times are wall clock, ms. */
export interface HoldStatus {
  readonly cause: HoldCause;
  readonly classes: readonly TopicClass[];
  readonly reason: string;
  readonly sinceMs: number;
  /** undefined: nobody knows. */
  readonly untilMs: number | undefined;
  /** Of topics of these classes that are sampled the sample goes. */
  readonly sparesSamples?: boolean;
}

export interface BudgetStatus {
  readonly per: PeriodUnit;
  readonly bytes: number;
  readonly usedBytes: number;
  /** Nothing but exempt classes is sent before the period ends. */
  readonly over: boolean;
  readonly exempt: readonly TopicClass[];
  /** undefined: nobody knew the time yet. */
  readonly startMs: number | undefined;
  readonly resetsMs: number | undefined;
}

export interface WindowStatus {
  readonly from: string;
  readonly forMs: number;
  /** null: it is for every class. */
  readonly classes: readonly TopicClass[] | null;
  /** undefined: it is closed. */
  readonly openUntilMs: number | undefined;
  readonly opensMs: number | undefined;
}

/** What a mirror's link costs and what its policy holds back. */
export interface LinkStatus {
  /** On the wire, both ways, with all headers up to IP, since this process began. */
  readonly wireBytes: number;
  /** `kernel`: from the kernel's counts of the connections; `estimate`: reckoned. */
  readonly countedBy: 'kernel' | 'estimate';
  /** Over the last seconds. */
  readonly bitsPerSecond: number;
  /** undefined: no cap. */
  readonly capBitsPerSecond: number | undefined;
  readonly budgets: readonly BudgetStatus[];
  readonly windows: readonly WindowStatus[];
  /** undefined: the configuration does not ask. */
  readonly metered: MeteredStatus | undefined;
  readonly holds: readonly HoldStatus[];
}

export interface MeteredStatus {
  /** undefined: no way to the far side is known. */
  readonly interface: string | undefined;
  readonly metered: boolean;
  readonly by: 'name' | 'NetworkManager' | undefined;
}
