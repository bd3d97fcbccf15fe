import { LISTEN_LIMITS } from '../listen-limits.ts';
import type { Clock } from '../time.ts';
import type { DeviceStream } from './broker-door.ts';

/**
 * Connections that we end while the device may be sending: a close over bytes that were not read becomes a
 * reset, which takes the DISCONNECT with its reason back from the device. So what still comes is read and
 * dropped until the device hangs up, for a moment at most.
 */
export class Lingering {
  readonly #clock: Pick<Clock, 'after'>;

  constructor(clock: Pick<Clock, 'after'>) {
    this.#clock = clock;
  }

  /** Makes the next `destroy` of it so gentle. */
  begin(stream: DeviceStream): void {
    const destroy = stream.destroy.bind(stream);
    const timer = this.#clock.after(LISTEN_LIMITS.lingerCloseMs, () => destroy());
    stream.once('close', () => timer.cancel());
    stream.destroy = () => {
      stream.destroy = destroy;
      if (stream.destroyed) return stream;
      stream.removeAllListeners('readable');
      stream.on('end', () => destroy());
      stream.resume();
      stream.end();
      return stream;
    };
  }
}
