import type { IPublishPacket, Packet } from 'mqtt-packet';
import { RawDevice } from './mqtt-raw.ts';

/** `topic payload`, with QoS and retain flag. */
export interface Said {
  readonly topic: string;
  readonly payload: string;
  readonly qos?: 0 | 1 | 2;
  readonly retain?: boolean;
}

/** What a device's firmware does after its CONNECT, in the order in which it does it. */
export interface Recording {
  readonly version?: 3 | 4 | 5;
  readonly connect: Readonly<Record<string, unknown>>;
  readonly steps: readonly (
    | { readonly publish: Said }
    | { readonly subscribe: readonly string[] }
  )[];
}

/** A device that plays a recording: raw packets, each step answered before the next as its firmware waits for it. */
export class RecordedDevice {
  readonly raw: RawDevice;
  #id = 0;

  private constructor(raw: RawDevice) {
    this.raw = raw;
  }

  static async play(port: number, { version, connect, steps }: Recording): Promise<RecordedDevice> {
    const device = new RecordedDevice(await RawDevice.connect(port, version ?? 4, connect));
    for (const step of steps) {
      if ('publish' in step) await device.publish(step.publish);
      else await device.subscribe(step.subscribe);
    }
    await device.raw.ping();
    return device;
  }

  async publish({ topic, payload, qos = 0, retain = false }: Said): Promise<void> {
    this.#id++;
    this.raw.send(this.raw.publish(topic, payload, qos, this.#id, { retain }));
    if (qos === 1) await this.raw.until(() => this.raw.ids('puback').includes(this.#id));
  }

  /** Each granted as asked, at QoS 0. */
  async subscribe(filters: readonly string[]): Promise<void> {
    this.#id++;
    const subscriptions = filters.map((topic) => ({ topic, qos: 0 as const }));
    this.raw.send({ cmd: 'subscribe', messageId: this.#id, subscriptions });
    await this.raw.until(() => this.raw.ids('suback').includes(this.#id));
    const granted = this.raw.last('suback')?.['granted'] as number[];
    if (granted.some((qos) => qos !== 0))
      throw new Error(`${filters.join()}: got ${granted.join()}`);
  }

  /** What came, as `topic payload`, with `(retained)` behind. */
  heard(): string[] {
    return this.raw.packets.filter(isPublish).map(({ topic, payload, retain }) => {
      const text = payload.length > 200 ? `${payload.length} bytes` : payload.toString();
      return `${topic} ${text}${retain ? ' (retained)' : ''}`.trimEnd();
    });
  }

  /** Without DISCONNECT, as when it loses its power. */
  async vanish(): Promise<void> {
    this.raw.close();
    await this.raw.untilClosed();
  }
}

function isPublish(packet: Packet): packet is IPublishPacket {
  return packet.cmd === 'publish';
}
