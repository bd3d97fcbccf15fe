import type { ChildPhase } from './child.ts';
import type { LinkState } from './link.ts';

/** What the view and the log lines show: plain values, a picture of one moment. */
export interface DemoState {
  readonly elapsedMs: number;
  /** How long the demo runs by itself; undefined: until the person quits. */
  readonly forMs: number | undefined;
  readonly sensors: SensorsState;
  readonly edge: NodeState;
  readonly link: LinkView;
  readonly centre: CentreState;
  readonly flow: FlowState;
  /** Per second, oldest first. */
  readonly history: FlowHistory;
  readonly readings: readonly ReadingState[];
  /** Oldest first. */
  readonly events: readonly DemoEvent[];
  /** What the demo does when it is not simply running: `draining, 12 records to go`. */
  readonly notice: string | undefined;
}

export interface SensorsState {
  readonly total: number;
  readonly connected: number;
  readonly acknowledged: number;
  readonly waiting: number;
  readonly sentAgain: number;
  readonly paused: boolean;
  readonly speed: number;
}

export interface NodeState {
  readonly phase: ChildPhase;
  readonly pid: number | undefined;
  readonly restarts: number;
  readonly address: string;
}

/** `paused`: the mirror itself is paused, where no proxy can stand between (Kafka). */
export type LinkView = LinkState | 'paused';

export type CentreState =
  | { readonly kind: 'gatelog'; readonly node: NodeState; readonly stored: number | undefined }
  | { readonly kind: 'kafka'; readonly brokers: string };

export interface FlowState {
  /** Sums over all partitions; undefined until the agent answered for the first time. */
  readonly durable: number | undefined;
  readonly mirrored: number | undefined;
  readonly lagRecords: number | undefined;
  readonly lagMs: number | undefined;
  /** What the mirror says of itself: `live`, `connecting`. */
  readonly mirror: string;
  /** Why it backs off or has halted. */
  readonly reason: string | undefined;
}

export interface FlowHistory {
  readonly inPerSecond: readonly number[];
  readonly outPerSecond: readonly number[];
  readonly lagRecords: readonly number[];
}

export interface ReadingState {
  readonly name: string;
  readonly text: string;
}

export type Tone = 'plain' | 'good' | 'warn' | 'bad';

export interface DemoEvent {
  readonly atMs: number;
  readonly text: string;
  readonly tone: Tone;
}
