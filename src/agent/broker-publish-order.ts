import type { Client } from 'aedes';
import type { AedesInner, LivePacket } from './broker-aedes.ts';

interface Job {
  readonly packet: LivePacket;
  readonly from: Client | null;
  readonly done: (error?: Error) => void;
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

  watch(inner: AedesInner): void {
    const publish = inner.publish.bind(inner);
    const emit = inner.mq.emit.bind(inner.mq);
    inner.publish = (packet, client, done) => {
      const [from, callback] = typeof client === 'function' ? [null, client] : [client, done];
      this.#queue.push({ packet, from, done: callback ?? nothing });
      this.#pump(publish);
    };
    inner.mq.emit = (packet, done) => {
      this.#busy = undefined;
      emit(packet, done);
      this.#pump(publish);
      return inner.mq;
    };
  }

  #pump(publish: AedesInner['publish']): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#busy === undefined) {
      const job = this.#queue.shift();
      if (job === undefined) break;
      this.#busy = job;
      publish(job.packet, job.from, (error) => {
        if (this.#busy === job) {
          this.#busy = undefined; // it failed before it was emitted
          this.#pump(publish);
        }
        job.done(error);
      });
    }
    this.#pumping = false;
  }
}
