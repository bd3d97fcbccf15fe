import type { AedesInner, LivePacket } from './broker-aedes.ts';

interface Job {
  readonly packet: LivePacket;
  /** The client that it comes from. */
  readonly from: { readonly id: string } | null;
  readonly done: (error?: Error) => void;
  /** What is kept of it counts; or it came to nothing. */
  readonly kept: (() => void) | undefined;
}

const nothing = (): void => {};

/**
 * Publishes one after the other. aedes numbers messages when they are published, and a subscriber
 * takes one whose number is lower than the last for a repeat and drops it; but between numbering
 * and emitting, QoS 0 takes no turn of the loop, QoS 1 and 2 take some, and retained messages take
 * more, so that messages overtake each other and are lost. Here the next one begins when the one
 * before it was emitted.
 */
export class PublishOrder {
  readonly #queue: Job[] = [];
  #busy: Job | undefined;
  #pumping = false;
  #emitted = 0;
  #publish: AedesInner['publish'] = nothing;

  /** The number of the last message that subscribers were given. */
  get emitted(): number {
    return this.#emitted;
  }

  watch(inner: AedesInner): void {
    this.#publish = inner.publish.bind(inner);
    const emit = inner.mq.emit.bind(inner.mq);
    inner.publish = (packet, client, done) => {
      const [from, callback] = typeof client === 'function' ? [null, client] : [client, done];
      this.publish(packet, from, callback ?? nothing, undefined);
    };
    inner.mq.emit = (packet, done) => {
      const job = this.#busy;
      this.#busy = undefined;
      this.#emitted = Math.max(this.#emitted, packet.brokerCounter);
      emit(packet, done);
      job?.kept?.();
      this.#pump();
      return inner.mq;
    };
  }

  /** `kept` is called when it stands in the queues of sessions and among retained messages. */
  publish(packet: LivePacket, from: Job['from'], done: Job['done'], kept: Job['kept']): void {
    this.#queue.push({ packet, from, done, kept });
    this.#pump();
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#busy === undefined) {
      const job = this.#queue.shift();
      if (job === undefined) break;
      this.#busy = job;
      const { from } = job;
      // aedes writes it down only when it emits, after queues had to know it.
      const packet = from === null ? job.packet : { ...job.packet, clientId: from.id };
      this.#publish(packet, from, (error) => {
        if (this.#busy === job) {
          this.#busy = undefined; // it failed before it was emitted
          job.kept?.();
          this.#pump();
        }
        job.done(error);
      });
    }
    this.#pumping = false;
  }
}
