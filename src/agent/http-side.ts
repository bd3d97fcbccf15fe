import type { CertificateStatus } from '../admin/certificate-status.ts';
import type { EventBook } from '../admin/event-book.ts';
import { History } from '../admin/history.ts';
import { Operations, type OperationsOptions } from '../admin/operations.ts';
import type { HttpStatus } from '../admin/status.ts';
import { HTTP_LIMITS } from '../http-limits.ts';
import type { Clock } from '../time.ts';
import type { Config, HttpConfig } from './config-types.ts';
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
): Promise<HttpSide> {
  const side = new HttpSide(http, options, parts);
  stack.push('the HTTP side', () => side.stop());
  await side.open();
  return side;
}

/** A door, and what is behind it whichever door that is. */
export class HttpSide {
  readonly #options: OperationsOptions;
  readonly #parts: HttpSideParts;
  readonly #history: History;
  #config: HttpConfig;
  #door: HttpDoor;
  #hasHistory = false;

  constructor(config: HttpConfig, options: OperationsOptions, parts: HttpSideParts) {
    this.#options = options;
    this.#parts = parts;
    const { status, logger } = options;
    this.#history = new History({ status, clock: parts.clock, logger });
    this.#config = config;
    this.#door = this.#doorOf(config);
  }

  /** A name that nobody resolves is no reason for devices to wait. Never rejects. */
  async open(): Promise<void> {
    if (this.#config.listen.length > 0 && !this.#hasHistory) {
      this.#hasHistory = true;
      this.#history.start();
    }
    await Promise.race([this.#door.open(), this.#parts.clock.sleep(HTTP_LIMITS.openMs)]);
  }

  /**
   * Other addresses, certificates, tokens or names: who is connected asks again, so that nobody goes on with what
   * does not count any more. Never rejects.
   */
  async change(config: HttpConfig): Promise<void> {
    await this.#door.stop();
    this.#config = config;
    this.#door = this.#doorOf(config);
    await this.open();
  }

  status(): HttpStatus {
    return this.#door.status();
  }

  certificates(): readonly CertificateStatus[] {
    return this.#door.certificates();
  }

  /** Looks at the certificate's files now. Never rejects. */
  look(): Promise<void> {
    return this.#door.look();
  }

  async stop(): Promise<void> {
    this.#history.stop();
    await this.#door.stop();
  }

  #doorOf(config: HttpConfig): HttpDoor {
    const { clock, isOpen } = this.#parts;
    const { logger } = this.#options;
    const { token, adminToken, hosts } = config;
    const access = { token, adminToken, hosts, recordsAreOpen: isOpen };
    return new HttpDoor({
      config,
      clock,
      logger,
      load: async () => {
        const { createHttpApp } = await import('../admin/http-server.ts');
        const operations = new Operations(this.#options);
        return createHttpApp({
          ...this.#parts,
          history: this.#history,
          operations,
          access,
          logger,
        });
      },
    });
  }
}
