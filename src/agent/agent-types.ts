import type { AgentStatus } from '../admin/status.ts';
import type { Boot } from '../boot.ts';
import type { Random } from '../random.ts';
import type { LossLedger } from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';

export interface AgentSurroundings {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly version: string;
  /** The machine's own unless a test lives another life. */
  readonly boot?: Boot | undefined;
  /** The data folder may be that of a gateway with another id: this one was renamed. */
  readonly adopt?: boolean;
  /** Resolves when the way is free to serve: called once the store stands, whose ledger it is. */
  readonly beforeServing?: (ledger: Pick<LossLedger, 'record'>) => Promise<void>;
}

export interface Agent {
  /** Addresses really listened on. */
  addresses(): readonly string[];
  status(): Promise<AgentStatus>;
  /**
   * Stops accepting, finishes what was accepted, commits, closes. Resolves within LIMITS.stopMs;
   * false when something did not end in that time. Idempotent.
   */
  stop(): Promise<boolean>;
}
