import type { EventBook } from '../admin/event-book.ts';
import { History } from '../admin/history.ts';
import { Operations, type OperationsOptions } from '../admin/operations.ts';
import { HTTP_LIMITS } from '../http-limits.ts';
import type { Clock } from '../time.ts';
import type { Config } from './config-types.ts';
import { HttpDoor } from './http-door.ts';
import type { StopStack } from './stop-stack.ts';

export interface HttpSideParts {
  /** Whoever is on this machine may subscribe to everything, as things are at present. */
  readonly isOpen: () => boolean;
  readonly events: EventBook;
  readonly version: string;
  readonly clock: Clock;
}

/** The status page, API and metrics, as far as they can be had. Never rejects. */
export async function startHttp(
  { http }: Config,
  options: OperationsOptions,
  parts: HttpSideParts,
  stack: StopStack,
): Promise<HttpDoor> {
  const { logger } = options;
  const { token, adminToken, hosts } = http;
  const history = new History({ status: options.status, clock: parts.clock, logger });
  const access = {
    token,
    adminToken,
    hosts,
    recordsAreOpen: parts.isOpen,
  };
  const door = new HttpDoor({
    config: http,
    clock: parts.clock,
    logger,
    load: async () => {
      const { createHttpApp } = await import('../admin/http-server.ts');
      return createHttpApp({
        ...parts,
        history,
        operations: new Operations(options),
        access,
        logger,
      });
    },
  });
  stack.push('the HTTP side', () => door.stop());
  if (http.listen.length > 0) {
    history.start();
    stack.push('the history of the status page', async () => history.stop());
  }
  // A name that nobody resolves is no reason for devices to wait.
  await Promise.race([door.open(), parts.clock.sleep(HTTP_LIMITS.openMs)]);
  return door;
}
