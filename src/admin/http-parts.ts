import type { ServerResponse } from 'node:http';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { EventBook } from './event-book.ts';
import type { HttpAccessOptions, Need } from './http-access.ts';
import type { History } from './history.ts';
import type { LiveFeed } from './http-live.ts';
import type { Operations } from './operations.ts';
import type { PageFile } from './page-files.ts';

/** What the HTTP side is made from. */
export interface HttpServerOptions {
  readonly operations: Operations;
  readonly events: EventBook;
  readonly history: History;
  readonly access: HttpAccessOptions;
  readonly version: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a family of routes is given; see http-server.ts. */
export interface HttpParts extends Omit<HttpServerOptions, 'access'> {
  readonly live: LiveFeed;
  readonly page: readonly PageFile[];
  /** Answers that see by themselves to readers that take nothing, and may be silent for long. */
  readonly patient: WeakSet<ServerResponse>;
  /** Aborts when the agent ends. */
  readonly ending: AbortSignal;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Absent: `admin`. */
    readonly need?: Need;
  }
}
