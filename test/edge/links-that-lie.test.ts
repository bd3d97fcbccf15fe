import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ControlClient } from '../../src/admin/control-client.ts';
import type { MirrorStatus } from '../../src/mirror/status.ts';
import { NetNamespace } from '../support/network/namespace.ts';
import type { Running } from '../support/process.ts';

/**
 * A real agent with a mirror to a real Mosquitto, in a network where packets vanish: what it shows
 * meanwhile, that devices are served, and that everything arrives when the network is honest again.
 */
const ROOT = join(import.meta.dirname, '../..');
const FAR_PORT = 18_830;
const { address, farAddress } = NetNamespace;
const patience = { timeout: 60_000, interval: 50 };
let folder: string;
let net: NetNamespace;
let heard: Running;
let sent = 0;

interface Gateway {
  readonly port: number;
  readonly data: string;
  readonly agent: Running;
}

async function startGateway(name: string, port: number, host: string): Promise<Gateway> {
  const data = join(folder, name);
  const config = join(folder, `${name}.yaml`);
  const far = `url: mqtt://${host}:${FAR_PORT}, connectTimeout: 1s, ackTimeout: 1s, keepAlive: 1s`;
  writeFileSync(
    config,
    `gateway: ${name}\ndata: ${data}\nlog: { level: debug, format: json }\n` +
      `mqtt: { listen: ["mqtt://${address}:${port}"], allowAnonymous: true }\n` +
      `mirrors: { far: { topics: [telemetry], mqtt: { ${far} } } }\n`,
  );
  const agent = await net.start({
    command: process.execPath,
    args: [join(ROOT, 'src/main.ts'), 'run', '--config', config],
    env: { NODE_ENV: 'production' },
  });
  await agent.waitFor(/agent\.ready/u);
  return { port, data, agent };
}

async function statusOf({ data }: Gateway): Promise<MirrorStatus> {
  const { mirrors } = await new ControlClient(data).status();
  const [mirror] = mirrors;
  if (mirror === undefined) throw new Error('it has a mirror');
  return mirror;
}

/** As a device does; resolves with the PUBACKs. */
async function publish({ port }: Gateway, records: number): Promise<void> {
  const lines = Array.from({ length: records }, () => `n${sent++}`);
  const where = ['-h', address, '-p', String(port), '-q', '1', '-t', 'plant/1', '-l'];
  const spec = { command: 'mosquitto_pub', args: where, input: `${lines.join('\n')}\n` };
  const device = await net.start(spec);
  expect((await device.exited).code).toBe(0);
}

async function expectArrival(gateway: Gateway): Promise<void> {
  await expect
    .poll(() => statusOf(gateway), patience)
    .toMatchObject({ state: 'live', lagRecords: 0 });
  const arrived = (): number => new Set(heard.stdout().match(/n\d+/gu)).size;
  await expect.poll(arrived, patience).toBe(sent);
}

let gateway: Gateway;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gatelog-lies-'));
  net = await NetNamespace.make();
  const config = join(folder, 'mosquitto.conf');
  writeFileSync(
    config,
    `user root\nallow_anonymous true\nmax_queued_messages 0\nlistener ${FAR_PORT}\nlistener ${FAR_PORT + 1}\n`,
  );
  const far = await net.start({ command: 'mosquitto', args: ['-c', config, '-v'] });
  await far.waitFor(/running/u);
  // By a way of its own, which is not cut.
  const listening = ['-h', farAddress, '-p', String(FAR_PORT + 1), '-q', '1', '-t', 'plant/#'];
  heard = await net.start({ command: 'mosquitto_sub', args: listening });
  await far.waitFor(/SUBACK/u);
  gateway = await startGateway('tunnel', 1883, farAddress);
});

afterAll(async () => {
  await net.remove();
  rmSync(folder, { recursive: true, force: true });
});

const cut = (): Promise<void> => net.swallow(`tcp dport ${FAR_PORT}`, `tcp sport ${FAR_PORT}`);

test('a silent drop while idle is not shown as connected, and told with what to look for', async () => {
  await publish(gateway, 10);
  await expectArrival(gateway);
  await cut();
  await expect
    .poll(() => statusOf(gateway), patience)
    .toMatchObject({
      state: 'backing off',
      downForMs: expect.any(Number) as number,
      reason: expect.stringMatching(
        /no answer from 10\.213\.0\.2 within 1s, not even a refusal: a firewall or a dead link/u,
      ) as string,
    });
  expect(gateway.agent.stdout()).toMatch(/the far side did not answer a ping: the link swallows/u);
  await publish(gateway, 10);
  await net.swallowNothing();
  await expectArrival(gateway);
});

test('a silent drop in the middle of a batch: given up by the missing receipts, and nothing is lost', async () => {
  const control = new ControlClient(gateway.data);
  await control.steer('far', 'pause', {});
  await publish(gateway, 3000);
  await control.steer('far', 'resume', {});
  await expect
    .poll(async () => (await statusOf(gateway)).recordsSent, patience)
    .toBeGreaterThan(20);
  await cut();
  await expect
    .poll(async () => (await statusOf(gateway)).state, patience)
    .toMatch(/backing off|connecting/u);
  await net.swallowNothing();
  await expectArrival(gateway);
});

test('half-open: a NAT forgot the connection, new ones pass', async () => {
  const before = await statusOf(gateway);
  const { stdout } = await net.run('ss', '-tnH', 'state', 'established', `dport = :${FAR_PORT}`);
  const local = /:(\d+) +10\.213\.0\.2:18830/u.exec(stdout)?.[1];
  expect(local).toBeDefined();
  await net.swallow(`tcp sport ${local}`, `tcp dport ${local}`);
  await publish(gateway, 10);
  await expect
    .poll(async () => (await statusOf(gateway)).reconnects, patience)
    .toBeGreaterThan(before.reconnects);
  await expectArrival(gateway);
  await net.swallowNothing();
});

test('the network goes and comes back: the wait ends at once', async () => {
  await net.setUplink('down');
  await expect
    .poll(() => statusOf(gateway), patience)
    .toMatchObject({
      state: 'backing off',
      reason: expect.stringMatching(/this machine has no way there \(ENETUNREACH\)/u) as string,
    });
  await net.setUplink('up');
  await gateway.agent.waitFor(/the network changed: trying at once/u);
  await publish(gateway, 10);
  await expectArrival(gateway);
});

test('a resolver that hangs is named and holds up no device; addresses are asked for at each connect', async () => {
  const answers = join(folder, 'answers');
  writeFileSync(answers, '');
  const dns = join(ROOT, 'test/support/network/dns.ts');
  const resolver = await net.start({ command: process.execPath, args: [dns, farAddress, answers] });
  await resolver.waitFor(/answers/u);
  const named = await startGateway('named', 1884, 'far.example');
  const expectWords = async (text: RegExp): Promise<void> => {
    const words = async (): Promise<string | undefined> => (await statusOf(named)).lastError?.text;
    await expect.poll(words, patience).toMatch(text);
  };
  await expectWords(
    /the name 'far\.example' (?:was not resolved within 1s|could not be resolved \(EAI_AGAIN\)).*DNS/u,
  );
  await publish(named, 50);
  writeFileSync(answers, '10.213.0.99');
  await expectWords(/no answer from 10\.213\.0\.99 within 1s|no way there \(EHOSTUNREACH\)/u);
  writeFileSync(answers, farAddress);
  await expectArrival(named);
});
