import { EventBook } from '../../src/admin/event-book.ts';
import type { ClientList } from '../../src/admin/client-status.ts';
import { History } from '../../src/admin/history.ts';
import { createHttpApp } from '../../src/admin/http-server.ts';
import {
  Operations,
  type OperationsOptions,
  type SteeredMirror,
} from '../../src/admin/operations.ts';
import type { AgentStatus } from '../../src/admin/status.ts';
import { NO_HTTP } from '../../src/agent/config-http.ts';
import type { HttpConfig } from '../../src/agent/config-types.ts';
import { HttpDoor } from '../../src/agent/http-door.ts';
import { GatelogError } from '../../src/errors.ts';
import { type Clock, systemClock } from '../../src/time.ts';
import { MemoryLog } from './memory-log.ts';
import { rememberingLogger } from './store-kit.ts';

export const READ_TOKEN = 'read-0123456789abcdef';
export const ADMIN_TOKEN = 'admin-0123456789abcdef';

export interface HttpRigOptions {
  readonly config?: Partial<HttpConfig>;
  readonly recordsAreOpen?: boolean;
  readonly clock?: Clock;
  readonly status?: () => Promise<AgentStatus>;
  readonly unavailable?: () => GatelogError;
  readonly mirrors?: ReadonlyMap<string, SteeredMirror>;
}

/** The HTTP side over a log in memory, on a port of its own. */
export class HttpRig {
  readonly log: MemoryLog = new MemoryLog();
  readonly logger: ReturnType<typeof rememberingLogger> = rememberingLogger();
  readonly events: EventBook;
  /** What was asked of the mirror central. */
  readonly asked: unknown[] = [];
  readonly door: HttpDoor;
  loads = 0;

  constructor(options: HttpRigOptions = {}) {
    const { clock = systemClock, config = {}, recordsAreOpen = true } = options;
    this.events = new EventBook(clock);
    const asked = this.#operations(options);
    const operations = new Operations(asked);
    const all: HttpConfig = { ...NO_HTTP, listen: ['http://127.0.0.1:0'], ...config };
    const { token, adminToken, hosts } = all;
    const access = { token, adminToken, hosts, recordsAreOpen: () => recordsAreOpen };
    const { logger, events } = this;
    const history = new History({ status: asked.status, clock, logger });
    const version = 'test';
    this.door = new HttpDoor({
      config: all,
      clock,
      logger,
      load: () => {
        this.loads++;
        return createHttpApp({ operations, events, history, access, version, clock, logger });
      },
    });
  }

  static async open(options: HttpRigOptions = {}): Promise<HttpRig> {
    const rig = new HttpRig(options);
    await rig.door.open();
    return rig;
  }

  get url(): string {
    return this.door.status().listeners[0] ?? '';
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, { headers });
  }

  post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  }

  close(): Promise<void> {
    return this.door.stop();
  }

  #operations(options: HttpRigOptions): OperationsOptions {
    const { log, logger, asked } = this;
    const mirror: SteeredMirror = {
      pause: async (topic) => void asked.push(['pause', topic]),
      resume: async (topic) => {
        asked.push(['resume', topic]);
        return { pausedTopics: [], isMirrorPaused: false };
      },
      seek: async (request) => {
        asked.push(['seek', request]);
        return [];
      },
      skip: async (request) => {
        asked.push(['skip', request]);
        return {};
      },
    };
    const clients: ClientList = { total: 0, clients: [] };
    return {
      reader: log.reader,
      ledger: log.ledger,
      mirrors: options.mirrors ?? new Map([['central', mirror]]),
      forgetMirror: async (name) => void asked.push(['forget', name]),
      exportMirror: () => Promise.reject(new GatelogError('NOT_FOUND', 'not here')),
      status: options.status ?? (() => Promise.resolve(EMPTY_STATUS)),
      clients: () => clients,
      ...(options.unavailable === undefined ? {} : { unavailable: options.unavailable }),
      logger,
    };
  }
}

/** Enough of one for what is asked here. */
const EMPTY_STATUS = {
  version: 'test',
  gateway: 'gw',
  degraded: null,
  ingest: {},
  store: { trouble: null, disk: { refusal: null } },
  topics: [{ name: 'telemetry' }],
  mirrors: [{ name: 'central' }],
} as unknown as AgentStatus;
