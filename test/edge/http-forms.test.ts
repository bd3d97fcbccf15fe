import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type MqttClient, connectAsync } from 'mqtt';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AgentStatus } from '../../src/admin/status.ts';
import { CliFolder } from '../support/cli.ts';
import { ADMIN_TOKEN } from '../support/http-rig.ts';
import { until } from '../support/hunt/wait.ts';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.ts';
import { makeServerCertificate } from '../support/server-certificate.ts';
import { StrictForms } from '../support/strict-form.ts';

/** What a whole agent answers has the form that its OpenAPI description says, and no field beside. */
interface Answer {
  readonly content?: Readonly<Record<string, { readonly schema: object }>>;
}
interface Operation {
  readonly responses: Readonly<Record<string, Answer>>;
}
interface Description {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

const forms = new StrictForms();
let cli: CliFolder;
let central: Mosquitto;
let device: MqttClient;
let http: string;
let described: Description;

beforeAll(async () => {
  cli = new CliFolder();
  central = await startMosquitto();
  const tls = await makeServerCertificate(cli.folder, 'gateway', 9);
  writeFileSync(path.join(cli.folder, 'users'), '');
  const config = {
    gateway: 'gw',
    http: { listen: ['http://127.0.0.1:0'], adminToken: ADMIN_TOKEN },
    mqtt: {
      listen: ['mqtt://127.0.0.1:0', 'mqtts://127.0.0.1:0'],
      tls,
      usersFile: 'users',
      allowAnonymous: true,
      acl: 'open',
      dedup: { producerProperty: 'producer', sequenceProperty: 'seq' },
    },
    metrics: { interval: '5s' },
    store: { wear: { rating: '100TB', budget: '5GB' }, maxBytes: '512MiB' },
    mirrors: {
      central: {
        topics: [
          {
            match: 'telemetry',
            sample: { when: 'always', keep: 'last per key per 1s', rest: 'ledger' },
          },
          '*',
        ],
        mqtt: { url: central.url },
        link: {
          rate: '10Mbit/s',
          budget: [{ per: 'day', bytes: '100MB' }],
          windows: [{ from: '0 3 * * *', for: '1h', classes: ['bulk'] }],
          metered: { interfaces: ['none0'], networkManager: false },
        },
      },
      away: { kafka: { brokers: ['127.0.0.1:1'] } },
    },
  };
  writeFileSync(path.join(cli.folder, 'g.yaml'), JSON.stringify(config));
  const agent = await cli.start(['run', '--config', 'g.yaml']);
  [, http = ''] = await agent.waitFor(/"http\.listening","listeners":\["(http:[^"]+)"/u);
  const [, mqtt = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
  await cli.run(['reload', '--config', 'g.yaml']);
  device = await connectAsync(mqtt, { clientId: 'press-1', reconnectPeriod: 0 });
  await device.publishAsync('plant/a', 'x', { qos: 1 });
  described = (await (await ask('GET', '/api/v1/openapi.json')).json()) as Description;
});
afterAll(async () => {
  await device.endAsync();
  await cli.remove();
  await central.stop();
});

function ask(method: string, at: string, body?: object): Promise<Response> {
  const authorization = `Bearer ${ADMIN_TOKEN}`;
  if (body === undefined) return fetch(`${http}${at}`, { method, headers: { authorization } });
  const headers = { authorization, 'content-type': 'application/json' };
  return fetch(`${http}${at}`, { method, headers, body: JSON.stringify(body) });
}

/** Asks, and gives what is wrong with the answer. */
async function faultsOf(method: string, at: string, of: string, body?: object): Promise<string[]> {
  const response = await ask(method, at, body);
  const { responses } = described.paths[of]?.[method.toLowerCase()] ?? { responses: {} };
  const { status } = response;
  const answer = responses[status] ?? responses[`${Math.floor(status / 100)}XX`];
  const [type = ''] = response.headers.get('content-type')?.split(';') ?? [];
  const schema = answer?.content?.[type]?.schema;
  const text = await response.text();
  if (schema === undefined) return [`${method} ${at}: ${status} ${type} is not described: ${text}`];
  if (!/^application\/(?:problem\+)?json$/u.test(type)) return [];
  return forms.faults(schema, JSON.parse(text)).map((fault) => `${method} ${at} ${fault}`);
}

async function toldStatus(): Promise<AgentStatus> {
  return (await (await ask('GET', '/api/v1/status')).json()) as AgentStatus;
}

const READING = [
  ['/healthz'],
  ['/readyz'],
  ['/metrics'],
  ['/api/v1/status'],
  ['/api/v1/history'],
  ['/api/v1/clients'],
  ['/api/v1/events'],
  ['/api/v1/gaps'],
  ['/api/v1/topics'],
  ['/api/v1/topics/{topic}', 'telemetry'],
  ['/api/v1/topics/{topic}/records', 'telemetry'],
  ['/api/v1/mirrors'],
  ['/api/v1/mirrors/{mirror}', 'central'],
] as const;

const COMMANDS = [
  ['pause', { topic: 'telemetry' }],
  ['resume', { topic: 'telemetry' }],
  ['seek', { topic: 'telemetry', to: 'beginning', partition: 0 }],
  ['skip', { topic: 'telemetry', partition: 0 }],
  ['forget', {}],
] as const;

test('every answer of an agent with everything switched on', async () => {
  await until(
    async () => {
      const { mirrors, reload, wear } = await toldStatus();
      const [one, other] = mirrors;
      // Its own metrics wait for the window of their class, so it may be more than live.
      const isUp = ['live', 'waiting for schedule'].includes(one?.state ?? '');
      return isUp && other?.lastError !== undefined && reload !== null && (wear?.windowMs ?? 0) > 0;
    },
    60_000,
    () => 'one mirror is live, and the other has failed',
  );
  const faults: string[] = [];
  const asked = new Set<string>();
  for (const [of, name = ''] of READING) {
    const at = of.replace(/\{\w+\}/u, name);
    faults.push(...(await faultsOf('GET', at, of)));
    asked.add(`get ${of}`);
  }
  for (const [action, body] of COMMANDS) {
    const of = `/api/v1/mirrors/{mirror}/${action}`;
    const at = of.replace('{mirror}', 'away');
    faults.push(...(await faultsOf('POST', at, of, body)));
    asked.add(`post ${of}`);
  }
  // What was decided is in the status until a session has it.
  faults.push(...(await faultsOf('GET', '/api/v1/status', '/api/v1/status')));
  faults.push(...(await faultsOf('GET', '/api/v1/topics/none', '/api/v1/topics/{topic}')));
  expect(faults).toEqual([]);
  const known = Object.entries(described.paths).flatMap(([at, item]) =>
    Object.keys(item).map((method) => `${method} ${at}`),
  );
  expect([...asked].toSorted()).toEqual(known.toSorted());
  const { clock, store, wear, ingest, certificates, accessFiles, mirrors } = await toldStatus();
  expect([clock, store, wear, ingest?.dedup, mirrors[0]?.link]).not.toContain(null);
  expect([certificates.length, accessFiles.length]).toEqual([1, 1]);
});
