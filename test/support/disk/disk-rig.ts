import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { wholeStatus, type WholeStatus } from '../../../src/admin/status.ts';
import { seededRandom, type Random } from '../../../src/random.ts';
import type { LedgerEntry } from '../../../src/loss.ts';
import { AgentProcess } from '../hunt/agent-process.ts';
import { agentStatus } from '../hunt/control.ts';
import { Device } from '../hunt/device.ts';
import { idOf, Ledger, payloadOf } from '../hunt/messages.ts';
import { openFolder, readStore } from '../hunt/read-store.ts';
import { until } from '../hunt/wait.ts';
import { freePorts } from '../ports.ts';
import { entriesOf } from '../store-kit.ts';

const GRANT_MS = 5;

export interface RigOptions {
  /** Where the configuration and the agent's output go: not on the disk that fills. */
  readonly work: string;
  readonly data: string;
  readonly env: Readonly<Record<string, string>>;
  /** YAML below `store:` and `topics:`, one option a line. */
  readonly store: readonly string[];
  readonly topics: readonly string[];
  readonly routes: readonly string[];
  readonly mirrors?: readonly string[];
  readonly seed: number;
}

/** What a far side has: it may be gone from the log. */
export interface Mirrored {
  readonly topics: readonly string[];
  readonly ids: ReadonlySet<string>;
}

const NOT_MIRRORED: Mirrored = { topics: [], ids: new Set() };

export interface Findings {
  /** What is wrong. */
  readonly problems: readonly string[];
  readonly acked: number;
  readonly inLog: number;
  /** Acknowledged, not in the log, and declared in the loss ledger. */
  readonly declared: number;
  readonly entries: readonly LedgerEntry[];
  /** First sequence still in the log, and sequences sent, by device. */
  readonly firstKept: ReadonlyMap<string, number>;
}

/** A real agent on a disk that gets into trouble, real devices, and what must hold afterwards. */
export class DiskRig {
  readonly options: RigOptions;
  readonly ledger: Ledger = new Ledger();
  readonly random: Random;
  readonly devices: Device[] = [];
  readonly #port: number;
  #agent: AgentProcess | undefined;
  #grants: NodeJS.Timeout | undefined;

  private constructor(options: RigOptions, port: number) {
    this.options = options;
    this.random = seededRandom(options.seed);
    this.#port = port;
    const lines = (list: readonly string[]): string => list.map((line) => `  ${line}\n`).join('');
    writeFileSync(
      this.#config,
      `gateway: full\ndata: ${options.data}\nlog: { level: info, format: json }\n` +
        `mqtt:\n  listen: [ "mqtt://127.0.0.1:${port}" ]\n` +
        `store:\n${lines(options.store)}topics:\n${lines(options.topics)}` +
        `routes:\n${lines(options.routes)}` +
        (options.mirrors === undefined ? '' : `mirrors:\n${lines(options.mirrors)}`),
    );
  }

  static async make(options: RigOptions): Promise<DiskRig> {
    const [port = 0] = await freePorts(1);
    return new DiskRig(options, port);
  }

  get #config(): string {
    return join(this.options.work, 'gatelog.yaml');
  }

  get logFile(): string {
    return join(this.options.work, 'agent.log');
  }

  /** Lines that the agent logged. */
  lines(): Record<string, unknown>[] {
    return readFileSync(this.logFile, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Those with `event`. */
  events(event: string): Record<string, unknown>[] {
    return this.lines().filter((line) => line['event'] === event);
  }

  get agent(): AgentProcess {
    if (this.#agent === undefined) throw new Error('the agent was not started');
    return this.#agent;
  }

  /** Resolves when devices can connect. */
  async start(): Promise<void> {
    const { env } = this.options;
    this.#agent = await AgentProcess.start({ config: this.#config, logFile: this.logFile, env });
    await this.is((status) => status.listeners.length > 0, 'ready');
  }

  async status(): Promise<WholeStatus> {
    return wholeStatus(await agentStatus(this.options.data));
  }

  /** Resolves with the status when it is as wanted. The agent must live meanwhile. */
  async is(
    wanted: (status: WholeStatus) => boolean,
    what: string,
    withinMs: number = 60_000,
  ): Promise<WholeStatus> {
    let last: WholeStatus | undefined;
    let trouble = '';
    await until(
      async () => {
        if (this.agent.ended) throw new Error(`the agent ended: ${this.logFile}`);
        try {
          last = await this.status();
        } catch (error) {
          trouble = String(error);
          return false;
        }
        return wanted(last);
      },
      withinMs,
      () => `${what}: ${trouble} ${JSON.stringify(last?.store)} ${JSON.stringify(last?.ingest)}`,
    );
    if (last === undefined) throw new Error('no status');
    return last;
  }

  /** Devices of both protocol versions, that publish from now on. */
  connect(
    devices: readonly { readonly id: string; readonly topic: string; readonly qos: 0 | 1 | 2 }[],
    bytes: number,
    window: number = 8,
  ): void {
    for (const [index, { id, topic, qos }] of devices.entries()) {
      const profile = {
        id,
        version: index % 2 === 0 ? (5 as const) : (4 as const),
        window,
        topics: [topic],
        nextQos: () => qos,
        nextPayloadBytes: (random: Random) => Math.floor(bytes * (0.5 + random.next())),
      };
      const device = new Device(
        profile,
        this.#port,
        seededRandom(this.random.next() * 1e9),
        this.ledger,
      );
      this.devices.push(device);
      device.start();
    }
    this.#grants ??= setInterval(() => {
      for (const device of this.devices) device.grant(1);
    }, GRANT_MS);
  }

  /** So many acknowledgements more. */
  async acked(count: number, withinMs: number = 60_000): Promise<void> {
    const wanted = this.ledger.ackedCount + count;
    await until(
      () => {
        if (this.agent.ended) throw new Error(`the agent ended: ${this.logFile}`);
        return this.ledger.ackedCount >= wanted;
      },
      withinMs,
      () => `${this.ledger.ackedCount} of ${wanted} acknowledged`,
    );
  }

  /** No new messages; what was sent is acknowledged. */
  async quiet(withinMs: number = 30_000): Promise<void> {
    for (const device of this.devices) device.quiesce();
    await until(
      () => this.devices.every((device) => device.inFlight === 0),
      withinMs,
      () => 'messages in flight',
    );
  }

  /** DISCONNECT packets that devices got, by reason. */
  reasons(): Map<number, number> {
    const all = new Map<number, number>();
    for (const device of this.devices) {
      for (const [reason, count] of device.endings) all.set(reason, (all.get(reason) ?? 0) + count);
    }
    return all;
  }

  disconnect(): void {
    clearInterval(this.#grants);
    this.#grants = undefined;
    for (const device of this.devices) device.stop();
  }

  async end(): Promise<void> {
    this.disconnect();
    await this.#agent?.kill();
  }

  /**
   * Every acknowledged message is in the log, unaltered, or stands in the loss ledger; every offset
   * of every partition is one or the other, never both. `mirrored`: what a mirror had may be gone.
   * The agent must not run.
   */
  async judge(mirrored: Mirrored = NOT_MIRRORED): Promise<Findings> {
    const store = await openFolder(this.options.data);
    const problems: string[] = [];
    const offsets = new Map<string, Set<number>>();
    const found = new Set<string>();
    const firstKept = new Map<string, number>();
    const ranges = new Map<string, { readonly start: number; readonly end: number }>();
    const record: Parameters<typeof readStore>[1] = {
      record: ({ topic, partition, offset, value }) => {
        const place = `${topic}/${partition}`;
        offsets.set(place, (offsets.get(place) ?? new Set()).add(offset));
        const message = this.ledger.get(idOf(value));
        if (message === undefined) problems.push(`${place} ${offset}: a message nobody sent`);
        else if (!payloadOf(message).equals(value)) problems.push(`${message.id} is altered`);
        else {
          found.add(message.id);
          const first = firstKept.get(message.device) ?? Infinity;
          firstKept.set(message.device, Math.min(first, message.sequence));
        }
      },
      gap: () => {},
      ranges: (list) => {
        for (const { topic, partition, start, end } of list) {
          ranges.set(`${topic}/${partition}`, { start, end });
        }
      },
    };
    await readStore(store, record, () => 0);
    const entries = await entriesOf(store);
    await store.close();
    let lostRecords = 0;
    for (const [place, { start, end }] of ranges) {
      const isMirrored = mirrored.topics.includes(place.split('/')[0] ?? '');
      const own = entries.filter(
        ({ topic, partition, fromOffset }) =>
          fromOffset !== undefined && `${topic}/${partition}` === place,
      );
      lostRecords += own.reduce((sum, { records }) => sum + records, 0);
      const kept = offsets.get(place) ?? new Set();
      for (let offset = 0; offset < end; offset++) {
        const declared = own.some(
          ({ fromOffset = 0, toOffset = 0 }) => offset >= fromOffset && offset < toOffset,
        );
        if (isMirrored && offset < start) continue;
        if (declared === kept.has(offset)) {
          problems.push(`${place} ${offset}: ${declared ? 'declared lost and there' : 'gone'}`);
        }
      }
    }
    const missing = [...this.ledger.all()].filter(
      ({ id, acked }) => acked && !found.has(id) && !mirrored.ids.has(id),
    );
    if (missing.length > lostRecords) {
      problems.push(`${missing.length} acknowledged are missing, ${lostRecords} are declared`);
    }
    // Space is made from the oldest on: what is missing of a device came before what is there.
    for (const { id, device, sequence } of missing) {
      if (sequence > (firstKept.get(device) ?? Infinity)) problems.push(`${id} is missing between`);
    }
    return {
      problems: problems.slice(0, 20),
      acked: this.ledger.ackedCount,
      inLog: found.size,
      declared: missing.length,
      entries,
      firstKept,
    };
  }
}
