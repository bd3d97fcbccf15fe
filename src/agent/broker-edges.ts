import { Readable } from 'node:stream';
import type { AedesPublishPacket } from 'aedes';
import type { Clock } from '../time.ts';
import type { AedesClient, AedesHandle } from './broker-aedes.ts';
import type { Answering } from './broker-answering.ts';
import type { DeviceStream } from './broker-door.ts';
import { type EdgeContext, ProtocolEdge } from './broker-edge.ts';
import { Overlaps } from './broker-overlaps.ts';
import type { OutgoingPacket } from './broker-packet-writer.ts';
import { HeldForDevices } from './broker-send-window.ts';
import { DEFAULT_CAPS } from './broker-session-caps.ts';
import type { SessionStore } from './broker-session-store.ts';
import { Traffic } from './broker-traffic.ts';
import type { SessionCaps } from './config-types.ts';

export interface EdgesOptions {
  readonly clock: Clock;
  readonly maxKeepAliveSeconds?: number | undefined;
  readonly sessionCaps?: SessionCaps;
}

/** The edges of all connections (broker-edge.ts), and what they share. */
export class Edges {
  readonly overlaps: Overlaps = new Overlaps();
  readonly traffic: Traffic = new Traffic();
  readonly #context: EdgeContext;
  #forward: EdgeContext['forward'] = () => null;
  readonly #byClient = new WeakMap<object, ProtocolEdge>();

  constructor(options: EdgesOptions, store: SessionStore, answering: Answering) {
    const { queueBytes, totalBytes } = options.sessionCaps ?? DEFAULT_CAPS;
    const dropped = 'a message for a connected device was given up: too many wait for it';
    this.#context = {
      clock: options.clock,
      keepAliveSeconds: options.maxKeepAliveSeconds,
      held: new HeldForDevices(queueBytes, totalBytes, () => store.bounds.drop(dropped)),
      giveUp: ({ id }, messageId) => store.session(id)?.queue.giveUp(messageId),
      queueOf: ({ id }) => store.session(id)?.queue,
      forward: (client, packet) => this.#forward(client, packet),
      durable: () => store.journal.durable(),
      unsubscribed: (client) => answering.unsubscribed(client),
      overlaps: this.overlaps,
      traffic: this.traffic,
    };
  }

  /** What is queued for a client leaves through its edge, when there is room; aedes would send it all at once. */
  watch({ broker, inner }: AedesHandle): void {
    inner.persistence.outgoingStream = () => Readable.from([]);
    this.#forward = (client, packet) =>
      broker.authorizeForward(
        client,
        packet as unknown as AedesPublishPacket,
      ) as OutgoingPacket | null;
  }

  /** Before it has said anything. */
  add(client: AedesClient, stream: DeviceStream): void {
    this.traffic.watch(stream);
    const edge = new ProtocolEdge(this.#context, client, stream);
    this.#byClient.set(client, edge);
    this.overlaps.watch(client);
  }

  left(client: AedesClient): void {
    this.#byClient.get(client)?.left();
  }

  /** Why a filter of its SUBSCRIBE is refused, for SUBACK. */
  refuse(client: object, filter: string, reasonCode: number): void {
    this.#byClient.get(client)?.answers.refuse(filter, reasonCode);
  }
}
