import { Duplex } from 'node:stream';
import { GatelogError } from '../../src/errors.ts';
import type { Wire } from '../../src/mirror/policy/wire-meter.ts';
import type { ConnectOptions, MirrorStream, UpstreamSession } from '../../src/mirror/upstream.ts';
import type { Slice } from '../../src/store/log.ts';
import type { Clock } from '../../src/time.ts';
import { SimulatedUpstream } from './simulated-upstream.ts';

interface Written {
  /** Monotonic. */
  readonly atMs: number;
  readonly bytes: number;
}

/** A connection of which only the writes are of interest. */
class WriteOnly extends Duplex {
  readonly #clock: Clock;
  readonly #written: Written[];

  constructor(clock: Clock, written: Written[]) {
    super();
    this.#clock = clock;
    this.#written = written;
    this.on('error', () => {});
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#written.push({ atMs: this.#clock.monotonicMs(), bytes: chunk.length });
    done();
  }

  override _read(): void {
    // Nothing comes back.
  }

  send(bytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.write(Buffer.alloc(bytes), (error) => {
        if (error === null || error === undefined) resolve();
        else reject(new GatelogError('UPSTREAM_UNREACHABLE', error.message));
      });
    });
  }
}

/** A far side in memory to which every batch is written over a connection that a link's policy has. */
export class WiredUpstream extends SimulatedUpstream {
  wire: Wire | undefined;
  readonly written: Written[] = [];

  override async connect(
    streams: readonly MirrorStream[],
    signal: AbortSignal,
    options: ConnectOptions,
  ): Promise<UpstreamSession> {
    const session = await super.connect(streams, signal, options);
    const { wire } = this;
    if (wire === undefined) return session;
    const connection = new WriteOnly(this.options.clock, this.written);
    wire.attach(connection);
    return {
      positions: session.positions,
      broken: session.broken,
      send: async (batch, ...more) => {
        await connection.send(bytesOf(batch));
        return session.send(batch, ...more);
      },
      close: async () => {
        connection.destroy();
        await session.close();
      },
    };
  }
}

function bytesOf(batch: readonly Slice[]): number {
  return batch
    .flatMap(({ records }) => records)
    .reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
}
