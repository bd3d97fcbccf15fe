import type { AgentStatus } from '../../admin/status.ts';
import type { MirrorStatus } from '../../mirror/status.ts';
import type { Clock } from '../../time.ts';
import type { FlowState } from './state.ts';
import { oneLine } from './text.ts';
import type { PartitionName } from './verify.ts';

export interface WatchOptions {
  /** Asks the agent how it is; rejects when it does not answer. */
  readonly ask: () => Promise<AgentStatus>;
  readonly clock: Clock;
  /** Called before every question. */
  readonly onAsk?: () => void;
  /** It answered; called for every answer. */
  readonly onAnswer: (status: AgentStatus) => void;
}

const EVERY_MS = 300;

/** Asks an agent for its status again and again, and keeps the last answer. */
export class Watch {
  readonly #options: WatchOptions;
  readonly #stop = new AbortController();
  #latest: AgentStatus | undefined;
  #running: Promise<void> | undefined;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** The last answer, which may be that of an agent that is gone by now. */
  get latest(): AgentStatus | undefined {
    return this.#latest;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Asks once, now; undefined when there is no answer. */
  async ask(): Promise<AgentStatus | undefined> {
    this.#options.onAsk?.();
    try {
      const status = await this.#options.ask();
      this.#latest = status;
      this.#options.onAnswer(status);
      return status;
    } catch {
      // Not running, or not yet: its process says why, when it ends.
      return undefined;
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.ask();
      await this.#options.clock.sleep(EVERY_MS, signal);
    }
  }
}

/** The product's own topics are not part of the show. */
function isShown(topic: string): boolean {
  return !topic.startsWith('_');
}

/** One past the last durable record, by partition. */
export function endsOf(status: AgentStatus | undefined): Map<PartitionName, number> {
  const ends = new Map<PartitionName, number>();
  for (const { name, partitions } of status?.topics ?? []) {
    if (!isShown(name)) continue;
    for (const one of partitions) ends.set(`${name}/${one.partition}`, one.endOffset);
  }
  return ends;
}

/** What the mirror has confirmed, by partition: next offsets wanted. */
export function positionsOf(
  status: AgentStatus | undefined,
  mirror: string,
): Map<PartitionName, number> {
  const positions = new Map<PartitionName, number>();
  for (const { name, partition } of mirroredBy(mirrorOf(status, mirror))) {
    positions.set(name, partition.position);
  }
  return positions;
}

interface Mirrored {
  readonly name: PartitionName;
  readonly partition: MirrorStatus['topics'][number]['partitions'][number];
}

function mirroredBy(mirror: MirrorStatus | undefined): Mirrored[] {
  return (mirror?.topics ?? []).flatMap(({ topic, partitions }) =>
    partitions.map((partition) => ({ name: `${topic}/${partition.partition}`, partition })),
  );
}

function mirrorOf(status: AgentStatus | undefined, name: string): MirrorStatus | undefined {
  return status?.mirrors.find((mirror) => mirror.name === name);
}

export function sumOf(offsets: ReadonlyMap<PartitionName, number>): number {
  return [...offsets.values()].reduce((sum, offset) => sum + offset, 0);
}

/** Durable end, position and lag as the mirror saw them at one moment, so that they agree. */
export function flowOf(status: AgentStatus | undefined, name: string): FlowState {
  const mirror = mirrorOf(status, name);
  if (mirror === undefined) {
    const unknown = { durable: undefined, mirrored: undefined, reason: undefined };
    return { ...unknown, lagRecords: undefined, lagMs: undefined, mirror: 'not started' };
  }
  const { state, reason, lagRecords } = mirror;
  const all = mirroredBy(mirror);
  return {
    durable: all.reduce((sum, { partition }) => sum + partition.endOffset, 0),
    mirrored: all.reduce((sum, { partition }) => sum + partition.position, 0),
    lagRecords,
    lagMs: mirror.lagMs ?? undefined,
    mirror: state,
    reason: reason === undefined ? undefined : oneLine(reason),
  };
}
