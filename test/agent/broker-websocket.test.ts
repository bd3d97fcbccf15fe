import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { generate, type Packet, parser } from 'mqtt-packet';
import { WebSocket, WebSocketServer } from 'ws';
import { WebSocketStream } from '../../src/agent/broker-websocket-stream.ts';
import { LIMITS } from '../../src/limits.ts';
import { LISTEN_LIMITS } from '../../src/listen-limits.ts';
import { systemClock } from '../../src/time.ts';
import { listenAt } from '../support/listen.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { rememberingLogger } from '../support/store-kit.ts';

afterEach(stopTestBrokers);

const OPEN = [listenAt('ws://127.0.0.1:0/mqtt')];
const CONNECT = connectAs('page');

function connectAs(clientId: string): Buffer {
  return generate({ cmd: 'connect', clientId, keepalive: 60, clean: true });
}

function publish(id: number, payload: string | Buffer, qos: 0 | 1 = 1): Buffer {
  const packet = { cmd: 'publish', topic: 'a', payload, qos, messageId: id, retain: false };
  return generate({ ...packet, dup: false } as Packet);
}

/** A browser's end, with every byte that came as packets. */
class Page {
  readonly packets: Packet[] = [];
  readonly closed: Promise<number>;
  readonly socket: WebSocket;
  #wake: () => void = () => {};

  private constructor(socket: WebSocket) {
    this.socket = socket;
    const reader = parser();
    reader.on('packet', (packet) => {
      this.packets.push(packet);
      this.#wake();
    });
    socket.on('message', (data: Buffer, isBinary) => {
      if (!isBinary) throw new Error('a text frame came');
      reader.parse(data);
    });
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.once('close', resolve);
    });
  }

  static async open(url: string): Promise<Page> {
    const socket = new WebSocket(url, ['mqtt']);
    const page = new Page(socket);
    await once(socket, 'open');
    return page;
  }

  static async connect(url: string, clientId = 'page'): Promise<Page> {
    const page = await Page.open(url);
    page.socket.send(connectAs(clientId));
    await page.count('connack', 1);
    return page;
  }

  async count(cmd: Packet['cmd'], count: number): Promise<void> {
    while (this.packets.filter((packet) => packet.cmd === cmd).length < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

async function refusal(url: string, options: object = {}, protocols = ['mqtt']): Promise<number> {
  const socket = new WebSocket(url, protocols, options);
  socket.on('error', () => {});
  const [, response] = (await once(socket, 'unexpected-response')) as [
    unknown,
    { statusCode: number },
  ];
  socket.terminate();
  return response.statusCode;
}

describe('frames', () => {
  test('their bounds mean nothing: packets cut anywhere, many in one, parts of a message', async () => {
    const { url, writer } = await startTestBroker({ listen: OPEN });
    expect(url).toMatch(/^ws:\/\/127\.0\.0\.1:\d+\/mqtt$/u);
    const page = await Page.open(url);
    for (const byte of CONNECT) page.socket.send(Buffer.of(byte));
    await page.count('connack', 1);
    const bytes = Buffer.concat([publish(1, 'one'), publish(2, 'two'), publish(3, 'three')]);
    page.socket.send(bytes);
    for (let at = 0; at < bytes.length; at += 7) {
      page.socket.send(bytes.subarray(at, at + 7), { fin: at + 7 >= bytes.length });
    }
    page.socket.send(Buffer.alloc(0));
    await page.count('puback', 6);
    expect(writer.values()).toEqual(['one', 'two', 'three', 'one', 'two', 'three']);
    page.socket.close();
    await page.closed;
  });

  test('a text frame ends the connection with 1003', async () => {
    const logger = rememberingLogger();
    const { url, broker, writer } = await startTestBroker({ listen: OPEN, logger });
    const page = await Page.connect(url);
    page.socket.send(publish(1, 'x').toString('latin1'));
    expect(await page.closed).toBe(1003);
    expect(broker.counters().violations).toBe(1);
    expect(logger.lines.map(({ message }) => message)).toContain(
      'connection ended: a text frame came; MQTT is in binary ones',
    );
    expect(writer.records).toEqual([]);
    await expect.poll(() => broker.counters().connections).toBe(0);
  });

  test('the largest packet fits, a larger message ends the connection with 1009', async () => {
    const { url, broker } = await startTestBroker({ listen: OPEN });
    const page = await Page.connect(url);
    page.socket.send(publish(1, Buffer.alloc(LIMITS.mqttPacketBytes - 100)));
    await page.count('puback', 1);
    page.socket.send(Buffer.alloc(LISTEN_LIMITS.webSocketMessageBytes + 1));
    expect(await page.closed).toBe(1009);
    expect(broker.counters().violations).toBe(1);
  });

  test('what is held of unfinished messages is bounded over all connections', async () => {
    const { url, broker } = await startTestBroker({ listen: OPEN });
    const part = Buffer.alloc(1_048_576);
    const pages: Page[] = [];
    const count = LISTEN_LIMITS.webSocketHeldBytes / part.length;
    for (let at = 0; at <= count; at++) pages.push(await Page.connect(url, `page-${at}`));
    for (const page of pages) page.socket.send(part, { fin: false });
    const first = await Promise.race(pages.map(({ closed }) => closed));
    expect(first).toBe(1013);
    expect(broker.counters().violations).toBeGreaterThan(0);
    const rest = pages.filter(({ socket }) => socket.readyState === WebSocket.OPEN);
    expect(rest.length).toBeGreaterThan(count / 2);
    for (const { socket } of rest) socket.terminate();
    await expect.poll(() => broker.counters().connections).toBe(0);
    // All of it was given back.
    const later = await Page.connect(url);
    later.socket.send(part, { fin: false });
    later.socket.send(publish(1, 'x'), { fin: true });
    expect(await later.closed).not.toBe(1013);
  });
});

describe('who does not read', () => {
  const servers: WebSocketServer[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  async function pair(): Promise<{ stream: WebSocketStream; peer: WebSocket }> {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    servers.push(server);
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const peer = new WebSocket(`ws://127.0.0.1:${port}`);
    const [webSocket, { socket }] = (await once(server, 'connection')) as [
      WebSocket,
      IncomingMessage,
    ];
    if (peer.readyState !== WebSocket.OPEN) await once(peer, 'open');
    return { stream: new WebSocketStream(webSocket, socket, () => {}), peer };
  }

  test('a peer holds up the writer, and has everything in the end', async () => {
    const { stream, peer } = await pair();
    let received = 0;
    peer.on('message', (data: Buffer) => (received += data.length));
    peer.pause();
    const chunk = Buffer.alloc(65_536);
    let sent = 0;
    let isFull = false;
    // What the system takes between the two ends is some megabytes.
    while (!isFull && sent < 200_000_000) {
      if (!stream.write(chunk)) {
        const drained = once(stream, 'drain').then(() => false);
        isFull = await Promise.race([drained, systemClock.sleep(1000).then(() => true)]);
      }
      sent += chunk.length;
    }
    expect(isFull).toBe(true);
    expect(stream.writableLength).toBeLessThanOrEqual(2 * chunk.length);
    stream.write(chunk);
    sent += chunk.length;
    peer.resume();
    await expect.poll(() => received, { timeout: 20_000 }).toBe(sent);
    stream.destroy();
  });

  test('a reader holds up the peer, and has everything in the end', async () => {
    const { stream, peer } = await pair();
    const chunk = Buffer.alloc(65_536);
    const count = 400;
    for (let sent = 0; sent < count; sent++) peer.send(chunk);
    await once(stream, 'readable');
    let before = -1;
    while (before !== peer.bufferedAmount) {
      before = peer.bufferedAmount;
      await systemClock.sleep(200);
    }
    expect(before).toBeGreaterThan(0);
    expect(stream.readableLength).toBeLessThanOrEqual(4 * chunk.length);
    let received = 0;
    stream.on('data', (data: Buffer) => (received += data.length));
    await expect.poll(() => received, { timeout: 20_000 }).toBe(count * chunk.length);
    peer.close();
    await once(stream, 'close');
  });

  test('a peer that goes without a word ends the stream', async () => {
    const { stream, peer } = await pair();
    stream.resume();
    peer.terminate();
    await once(stream, 'close');
    expect(stream.errored).toBeNull();
  });
});

describe('the way in', () => {
  test('needs the path, the subprotocol and a page of this machine', async () => {
    const { url, broker } = await startTestBroker({ listen: OPEN });
    expect(await refusal(url.replace('/mqtt', '/other'))).toBe(404);
    expect(await refusal(url, {}, [])).toBe(400);
    expect(await refusal(url, {}, ['chat'])).toBe(400);
    expect(await refusal(url, { origin: 'https://evil.example' })).toBe(403);
    expect(await refusal(url, { origin: 'null' })).toBe(403);
    expect(broker.counters()).toMatchObject({ connectionsRefused: 5, connectionsTotal: 0 });
    for (const origin of ['http://localhost:8080', 'http://127.0.0.1', 'http://[::1]:3000']) {
      const socket = new WebSocket(`${url}/?a=b`, ['chat', 'mqttv3.1', 'mqtt'], { origin });
      await once(socket, 'open');
      expect(socket.protocol).toBe('mqtt');
      socket.terminate();
    }
  });

  test('a page from anywhere where credentials are asked for, or openness was written', async () => {
    const users = [{ username: 'a', password: 'b' }];
    const closed = await startTestBroker({ listen: OPEN, users });
    const listen = [listenAt('ws://127.0.0.1:0', { allowAnonymous: true })];
    const open = await startTestBroker({ listen });
    for (const { url } of [closed, open]) {
      const socket = new WebSocket(url, ['mqtt'], { origin: 'https://elsewhere.example' });
      await once(socket, 'open');
      expect(socket.protocol).toBe('mqtt');
      socket.terminate();
    }
  });

  test('a browser that asks for a page is told what this is, and garbage is hung up on', async () => {
    const { url, port, broker } = await startTestBroker({ listen: OPEN });
    const asked = request(url.replace('ws:', 'http:'));
    asked.end();
    const [response] = (await once(asked, 'response')) as [{ statusCode: number }];
    expect(response.statusCode).toBe(426);
    asked.destroy();
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.resume();
    socket.write(CONNECT);
    await once(socket, 'close');
    expect(broker.counters().connectionsRefused).toBe(2);
  });

  test('at a stop clients are told and closed well', async () => {
    const { url, broker } = await startTestBroker({ listen: OPEN });
    const page = await Page.connect(url);
    await broker.stop();
    expect(await page.closed).toBe(1000);
  });
});
