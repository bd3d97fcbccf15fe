import type { KeyValue } from '../../store/log.ts';
import type { Logger } from '../../telemetry.ts';
import type { Clock } from '../../time.ts';
import type { BudgetRule } from './budget.ts';
import type { AskKernel } from './kernel-sockets.ts';
import type { MeteredRule } from './metered.ts';
import type { Network } from './network.ts';
import type { WindowRule } from './windows.ts';

/** What a person set about a mirror's link. */
export interface LinkRules {
  /** Of both ways together; undefined: no cap. */
  readonly bitsPerSecond: number | undefined;
  readonly budgets: readonly BudgetRule[];
  readonly windows: readonly WindowRule[];
  readonly metered: MeteredRule | undefined;
  /** IANA name of the zone by whose calendar periods and windows go; undefined: this process's. */
  readonly zone: string | undefined;
}

export interface LinkPolicyOptions {
  readonly name: string;
  readonly rules: LinkRules;
  /** Topics are sampled while the link is metered: that it is, or no more, changes what is sent. */
  readonly samples?: boolean;
  /** This mirror's own, for what was used of the budgets. */
  readonly space: KeyValue;
  /** Its time of day is the best that is known. */
  readonly clock: Clock;
  /** Whether that is to be relied on. */
  readonly isClockSound: () => boolean;
  /** Names the mirror in every line. */
  readonly logger: Logger;
  /** The machine's own unless a test lives another life. */
  readonly askKernel?: AskKernel;
  readonly network?: Network;
}
