import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { connectAsync } from 'mqtt';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { RecordJson } from '../../src/admin/record-json.ts';
import { CliFolder, publish } from '../support/cli.ts';
import { type Running, startProcess } from '../support/process.ts';

const PATIENT = { timeout: 30_000, interval: 50 };

/** How an agent ends. */
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

async function loggedValues(): Promise<Set<string | null | undefined>> {
  const { stdout } = await cli.run(['consume', 'telemetry', '--json']);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return new Set(lines.map((line) => (JSON.parse(line) as RecordJson).value));
}

describe('a graceful stop', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s with messages in flight: all that is acknowledged is in the log, exit code 0',
    async (signal) => {
      const { agent, url } = await cli.startAgent();
      const client = await connectAsync(url, { reconnectPeriod: 0 });
      client.on('error', () => {});
      const acknowledged: string[] = [];
      const enough = Promise.withResolvers<void>();
      let sent = 0;
      const pump = (): void => {
        const value = `value-${sent++}`;
        client.publish('a/b', value, { qos: 1 }, (error) => {
          if (error !== undefined && error !== null) return;
          acknowledged.push(value);
          if (acknowledged.length === 2000) enough.resolve();
          if (!client.disconnecting && client.connected) pump();
        });
      };
      for (let lane = 0; lane < 100; lane++) pump();
      await enough.promise;
      agent.signal(signal);
      expect(await agent.exited).toEqual({ code: 0, signal: null });
      await client.endAsync(true);
      const logged = await loggedValues();
      expect(acknowledged.filter((value) => !logged.has(value))).toEqual([]);
      expect(acknowledged.length).toBeGreaterThanOrEqual(2000);
      const log = agent.stdout();
      expect(log).toContain('"event":"agent.stopping"');
      expect(log).toContain('"event":"agent.stopped"');
    },
  );

  test('SIGHUP is the end of a terminal, and nothing to end for where there is none', async () => {
    const { agent } = await cli.startAgent();
    agent.signal('SIGHUP');
    await agent.waitFor(/"event":"agent\.reload"/u);
    expect(await agent.stop()).toEqual({ code: 0, signal: null });
    const { command, args, cwd } = cli.spec(['run', '--mqtt', 'mqtt://127.0.0.1:0']);
    const line = [command, ...args].map((word) => `'${word}'`).join(' ');
    const window = await startProcess({
      command: '/usr/bin/script',
      args: ['-qec', `${line}; echo code $?`, '/dev/null'],
      cwd,
      holdInput: true,
      env: { NODE_ENV: 'production' },
    });
    await window.waitFor(/is ready: /u);
    const status = await cli.run(['status', '--json']);
    const { pid } = JSON.parse(status.stdout) as { pid: number };
    process.kill(pid, 'SIGHUP');
    await window.waitFor(/code 0/u);
    await window.kill();
  });

  test('ends connections, the socket and the lock: the next agent starts at once', async () => {
    const { agent, url } = await cli.startAgent();
    await publish(url, [{ topic: 'a', payload: '1' }]);
    expect(await agent.stop()).toEqual({ code: 0, signal: null });
    const next = await cli.startAgent();
    await publish(next.url, [{ topic: 'a', payload: '2' }]);
    expect([...(await loggedValues())]).toEqual(['1', '2']);
  });

  test('is not held up by an upstream that is down', async () => {
    const { agent } = await cli.startAgent(['--kafka', '127.0.0.1:1']);
    await agent.waitFor(/mirror\.retry/u);
    expect(await agent.stop()).toEqual({ code: 0, signal: null });
  });
});

describe('an upstream that takes everything and confirms nothing', () => {
  let silent: SilentCentre;
  beforeEach(async () => {
    silent = await SilentCentre.start();
    const mirror = `mirrors: {up: {mqtt: {url: "mqtt://127.0.0.1:${silent.port}"}}}\n`;
    writeFileSync(path.join(cli.folder, 'gatelog.yaml'), mirror);
  });
  afterEach(() => silent.stop());

  async function startDraining(): Promise<Running> {
    const { agent, url } = await cli.startAgent(['--config', 'gatelog.yaml']);
    await publish(url, [{ topic: 'a', payload: 'in flight' }]);
    await expect.poll(() => silent.received, PATIENT).toContain('in flight');
    agent.signal('SIGTERM');
    await agent.waitFor(/"event":"agent\.stopping"/u);
    return agent;
  }

  test('holds up the stop for a bounded time only', async () => {
    const agent = await startDraining();
    expect(await agent.exited).toEqual({ code: 0, signal: null });
    expect(agent.stdout()).toContain('"event":"agent.stopped"');
  });

  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('a second signal (%s) ends the agent at once', async (signal, code) => {
    const agent = await startDraining();
    agent.signal(signal);
    expect(await agent.exited).toEqual({ code, signal: null });
    expect(agent.stdout()).toContain(`ended at once (second ${signal})`);
    // What was acknowledged stays.
    expect([...(await loggedValues())]).toEqual(['in flight']);
  });
});

/** An MQTT 5 broker that answers CONNECT and nothing else. */
class SilentCentre {
  received = '';
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.once('data', () => socket.write(Buffer.from([0x20, 3, 0, 0, 0])));
      socket.on('data', (bytes) => {
        this.received += bytes.toString('latin1');
      });
    });
  }

  static async start(): Promise<SilentCentre> {
    const server = createServer();
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    return new SilentCentre(server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }
}

describe('a hard stop', () => {
  test('SIGKILL leaves a folder that the next agent opens', async () => {
    const { agent, url } = await cli.startAgent();
    await publish(url, [{ topic: 'a', payload: '1' }]);
    await agent.kill();
    const next = await cli.startAgent();
    await publish(next.url, [{ topic: 'a', payload: '2' }]);
    expect([...(await loggedValues())]).toEqual(['1', '2']);
  });
});
