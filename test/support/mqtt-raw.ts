import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { generate, type Packet, parser } from 'mqtt-packet';

/**
 * A device that says exactly what the test wants, byte for byte, and shows every packet that came
 * back and how the connection ended.
 */
export class RawDevice {
  readonly packets: Packet[] = [];
  readonly socket: Socket;
  readonly version: 3 | 4 | 5;
  closed = false;
  readonly #changed: (() => void)[] = [];

  private constructor(socket: Socket, version: 3 | 4 | 5) {
    this.socket = socket;
    this.version = version;
    const reader = parser({ protocolVersion: version });
    reader.on('packet', (packet) => {
      this.packets.push(packet);
      this.#wake();
    });
    socket.on('data', (chunk: Buffer) => reader.parse(chunk));
    socket.on('error', () => {}); // a reset; `closed` tells
    socket.on('close', () => {
      this.closed = true;
      this.#wake();
    });
  }

  static async dial(
    port: number,
    version: 3 | 4 | 5 = 4,
    localAddress = '127.0.0.1',
  ): Promise<RawDevice> {
    const socket = connect({ port, host: '127.0.0.1', localAddress, noDelay: true });
    await once(socket, 'connect');
    return new RawDevice(socket, version);
  }

  /** Dials and waits for CONNACK. */
  static async connect(
    port: number,
    version: 3 | 4 | 5 = 4,
    connectFields: Record<string, unknown> = {},
  ): Promise<RawDevice> {
    const device = await RawDevice.dial(port, version);
    device.send(device.connectPacket(connectFields));
    await device.until(() => device.packets.some((packet) => packet.cmd === 'connack'));
    return device;
  }

  connectPacket(fields: Record<string, unknown> = {}): Packet {
    const packet = {
      cmd: 'connect' as const,
      protocolId: this.version === 3 ? 'MQIsdp' : 'MQTT',
      protocolVersion: this.version,
      clean: true,
      clientId: 'raw-device',
      keepalive: 60,
      ...fields,
    };
    return packet as Packet;
  }

  /** Several packets leave in one write, so in one segment. */
  send(...packets: Packet[]): void {
    this.sendBytes(Buffer.concat(packets.map((packet) => this.bytes(packet))));
  }

  bytes(packet: Packet): Buffer {
    return generate(packet, { protocolVersion: this.version });
  }

  sendBytes(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  publish(
    topic: string,
    payload: string | Buffer,
    qos: 0 | 1 | 2 = 0,
    messageId: number = 0,
    extra: Record<string, unknown> = {},
  ): Packet {
    const fields = { cmd: 'publish', topic, payload, qos, retain: false, dup: false };
    return { ...fields, ...(qos > 0 ? { messageId } : {}), ...extra } as Packet;
  }

  /** Packet ids of the acknowledgements of one kind, in order of arrival. */
  ids(cmd: 'puback' | 'pubrec' | 'pubcomp' | 'suback'): number[] {
    return this.packets
      .filter((packet) => packet.cmd === cmd)
      .map((packet) => packet.messageId ?? -1);
  }

  last(cmd: Packet['cmd']): Record<string, unknown> | undefined {
    return this.packets.findLast((packet) => packet.cmd === cmd) as
      | Record<string, unknown>
      | undefined;
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.closed) throw new Error(`the connection ended first; got ${this.summary()}`);
      await this.#next();
    }
  }

  async untilClosed(): Promise<void> {
    while (!this.closed) await this.#next();
  }

  /** Everything sent before was handled: the broker answers a ping in turn. */
  async ping(): Promise<void> {
    const count = (): number => this.packets.filter((packet) => packet.cmd === 'pingresp').length;
    const before = count();
    this.send({ cmd: 'pingreq' });
    await this.until(() => count() > before);
  }

  summary(): string {
    return this.packets.map((packet) => `${packet.cmd}:${packet.messageId ?? ''}`).join(' ');
  }

  close(): void {
    this.socket.destroy();
  }

  #next(): Promise<void> {
    return new Promise((resolve) => {
      this.#changed.push(resolve);
    });
  }

  #wake(): void {
    for (const wake of this.#changed.splice(0)) wake();
  }
}
