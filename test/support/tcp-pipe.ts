import type { Socket } from 'node:net';
import type { SharedLine } from './shared-line.ts';

/** How a link carries bytes, each way. Without a figure it does not slow down. */
export interface Shape {
  readonly latencyMs?: number;
  readonly bytesPerSecond?: number;
  /** Shared with other connections, instead of a rate of its own. */
  readonly lines?: { readonly up: SharedLine; readonly down: SharedLine };
  /** What one direction of a connection may hold before it stops reading from its source. */
  readonly queueBytes?: number;
}

/** Payload of a TCP segment on Ethernet. */
const SEGMENT_BYTES = 1448;

/** What becomes of a piece of the stream, or of its end (`undefined`). */
export interface Passed {
  /** What goes on; undefined: the end. */
  readonly data: Buffer | undefined;
  /** Called when `data` has been written. */
  readonly written?: () => void;
}

interface Item extends Passed {
  readonly due: number;
}

const QUEUE_BYTES = 262_144; // 256 KiB

/**
 * One direction of a connection: reads from `from`, lets `inspect` decide what goes on (for
 * undefined nothing does), delays, writes to `to`. While held, nothing is read or written, and so neither is the source's end
 * noticed: what was under way arrives late, after `release`, as it does on a real link.
 */
export class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #inspect: (piece: Buffer | undefined) => Passed | undefined;
  #shape: Shape = {};
  #line: SharedLine | undefined;
  readonly #queue: Item[] = [];
  /** Not on the line yet. */
  readonly #waiting: Passed[] = [];
  #queued = 0;
  #held = false;
  #blocked = false;
  #lastDue = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    from: Socket,
    to: Socket,
    inspect: (piece: Buffer | undefined) => Passed | undefined,
  ) {
    this.#from = from;
    this.#to = to;
    this.#inspect = inspect;
    from.on('data', (chunk: Buffer) => this.#take(chunk));
    from.once('end', () => this.#take(undefined));
    to.on('drain', () => {
      this.#blocked = false;
      this.#flush();
    });
    to.once('close', () => clearTimeout(this.#timer));
  }

  shape(shape: Shape, way: 'up' | 'down'): void {
    this.#shape = shape;
    this.#line = shape.lines?.[way];
  }

  /** For the line. */
  next(): number | undefined {
    const [first] = this.#waiting;
    return first === undefined ? undefined : (first.data?.length ?? 0);
  }

  /** For the line. */
  carried(atMs: number, heldMs: number): void {
    const passed = this.#waiting.shift();
    if (passed === undefined) return;
    // In order, whatever is late.
    this.#lastDue = Math.max(atMs + (this.#shape.latencyMs ?? 0) + heldMs, this.#lastDue);
    this.#queue.push({ ...passed, due: this.#lastDue });
    this.#flush();
  }

  hold(): void {
    this.#held = true;
    this.#from.pause();
    clearTimeout(this.#timer);
  }

  release(): void {
    this.#held = false;
    this.#flush();
  }

  #take(piece: Buffer | undefined): void {
    const passed = this.#inspect(piece);
    if (passed === undefined) return;
    const { data } = passed;
    const { latencyMs = 0, bytesPerSecond } = this.#shape;
    const now = performance.now();
    const size = data?.length ?? 0;
    if (this.#line !== undefined) {
      this.#queued += size;
      this.#cut(passed);
      this.#line.want(this);
      this.#flush();
      return;
    }
    const carried = bytesPerSecond === undefined ? 0 : (size / bytesPerSecond) * 1000;
    // The line is busy with what was put on it before; the latency comes on top for each.
    this.#lastDue = Math.max(now, this.#lastDue) + carried;
    this.#queue.push({ ...passed, due: this.#lastDue + latencyMs });
    this.#queued += size;
    this.#flush();
  }

  #cut({ data, written }: Passed): void {
    const length = data?.length ?? 0;
    for (let at = 0; at + SEGMENT_BYTES < length; at += SEGMENT_BYTES)
      this.#waiting.push({ data: data?.subarray(at, at + SEGMENT_BYTES) });
    const rest = Math.max(0, Math.ceil(length / SEGMENT_BYTES) - 1) * SEGMENT_BYTES;
    this.#waiting.push({ data: data?.subarray(rest), ...(written && { written }) });
  }

  #flush(): void {
    if (this.#held) return;
    clearTimeout(this.#timer);
    const now = performance.now();
    while (!this.#blocked) {
      const item = this.#queue[0];
      if (item === undefined) break;
      if (item.due > now) {
        this.#timer = setTimeout(() => this.#flush(), item.due - now);
        break;
      }
      this.#queue.shift();
      this.#queued -= item.data?.length ?? 0;
      if (!this.#to.destroyed) {
        if (item.data === undefined) this.#to.end();
        else this.#blocked = !this.#to.write(item.data);
      }
      item.written?.();
    }
    if (this.#queued > (this.#shape.queueBytes ?? QUEUE_BYTES) || this.#blocked) this.#from.pause();
    else this.#from.resume();
  }
}
