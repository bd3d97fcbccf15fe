import type { EventBook } from '../admin/event-book.ts';
import type { ReloadStatus } from '../admin/reload-status.ts';
import type { AgentStatus } from '../admin/status.ts';
import type { Boot } from '../boot.ts';
import type { Random } from '../random.ts';
import type { LossLedger } from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { LogLevel } from './config-types.ts';
import type { Glance } from './glance.ts';
import type { ConfigSource } from './reloader.ts';

export interface AgentSurroundings {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly version: string;
  /** The machine's own unless a test lives another life. */
  readonly boot?: Boot | undefined;
  /** The data folder may be that of a gateway with another id: this one was renamed. */
  readonly adopt?: boolean;
  /** Where the configuration is read again; absent: it is what it is. */
  readonly configSource?: ConfigSource;
  readonly setLogLevel?: (level: LogLevel) => void;
  readonly aroundReload?: ((reload: () => Promise<void>) => Promise<void>) | undefined;
  /** Resolves when the way is free to serve: called once the store stands, whose ledger it is. */
  readonly beforeServing?: (ledger: Pick<LossLedger, 'record'>) => Promise<void>;
}

/** What an agent is given of itself: its log is noted. */
export interface NotedSurroundings extends AgentSurroundings {
  readonly events: EventBook;
}

export interface Agent {
  /** Addresses really listened on. */
  addresses(): readonly string[];
  status(): Promise<AgentStatus>;
  /** What can be said of it without reading anything. */
  glance(): Glance;
  /** Resolves when the disk has answered what it was asked to write until now. Never rejects. */
  answered(): Promise<void>;
  /**
   * Takes what may change while it runs: certificates, users, rules, and of the configuration what can; all
   * of it or nothing. Never rejects.
   */
  reload(): Promise<ReloadStatus>;
  /**
   * Stops accepting, finishes what was accepted, commits, closes. Resolves within LIMITS.stopMs;
   * false when something did not end in that time. Idempotent.
   */
  stop(): Promise<boolean>;
}
