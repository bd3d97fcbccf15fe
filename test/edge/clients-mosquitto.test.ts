import { afterEach, beforeEach, expect, test } from 'vitest';
import { Gateway } from '../support/gateway.ts';
import { freePorts } from '../support/ports.ts';
import { runChecked, runProcess, startProcess } from '../support/process.ts';
import {
  makeDeviceCertificate,
  makeServerCertificate,
  type PemFiles,
} from '../support/server-certificate.ts';

/** Mosquitto's command line tools at a real agent, in TLS: a device by its certificate, an ear by its password. */
let gateway: Gateway;
let server: PemFiles;
let device: PemFiles;
let withCertificate: string[];
let withPassword: string[];
beforeEach(async () => {
  gateway = new Gateway();
  server = await makeServerCertificate(gateway.folder, 'server', 90);
  const ca = await makeServerCertificate(gateway.folder, 'devices-ca', 9);
  device = await makeDeviceCertificate(gateway.folder, 'press-1', ca);
  const [certificates = 0, passwords = 0] = await freePorts(2);
  withCertificate = [...at(certificates), '--cert', device.cert, '--key', device.key];
  withPassword = [...at(passwords), '-u', 'dashboard', '-P', 'hush'];
  await gateway.start(
    `  listen:\n` +
      `    - {url: "mqtts://127.0.0.1:${certificates}", tls: {ca: devices-ca.pem, requireCertificate: true, user: cn}}\n` +
      `    - mqtts://127.0.0.1:${passwords}\n` +
      `  tls: {cert: server.pem, key: server.key}\n` +
      `  users: [{username: dashboard, password: hush}]\n` +
      `  acl:\n    - {publish: ["plant/%u/#"], subscribe: ["plant/%u/#"]}\n    - {users: [dashboard], subscribe: ["plant/#"]}\n`,
  );
});
afterEach(() => gateway.remove());

function at(port: number): string[] {
  return ['-h', '127.0.0.1', '-p', String(port), '--cafile', server.cert];
}

const VERSIONS = ['mqttv31', 'mqttv311', 'mqttv5'];

/** All versions at once. */
async function each<T>(task: (version: string) => Promise<T>): Promise<T[]> {
  return Promise.all(VERSIONS.map((version) => task(version)));
}

/** As press-1, below a topic for each version. */
async function publish(
  version: string,
  level: string,
  value: string,
  ...more: string[]
): Promise<void> {
  const what = ['-V', version, '-t', `plant/press-1/${version}/${level}`, '-m', value];
  const args = [...withCertificate, ...what, ...more];
  await runChecked({ command: 'mosquitto_pub', args }, 20_000);
}

/** As dashboard: topic without the common part, payload, QoS, retain flag. */
async function hear(version: string, ...more: string[]): Promise<string[]> {
  const format = ['-q', '2', '-F', '%t %p %q %r', '-W', '20'];
  const args = [...withPassword, '-V', version, ...format, ...more];
  const { stdout } = await runChecked({ command: 'mosquitto_sub', args }, 30_000);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => line.replace(`plant/press-1/${version}/`, '')).toSorted();
}

function session(version: string): string[] {
  return ['-c', '-i', `ears-${version}`, '-t', `plant/+/${version}/#`];
}

async function logged(): Promise<string[]> {
  const messages = await gateway.logged();
  return messages.map(({ topic, value, qos }) => `${topic.slice(14)} ${value} ${qos}`).toSorted();
}

function inEach(lines: readonly string[]): string[] {
  return VERSIONS.flatMap((version) => lines.map((line) => `${version}/${line}`)).toSorted();
}

test('every QoS, retained, and sessions over a kill and a stop of the agent', async () => {
  await each(async (version) => {
    // Who publishes and hangs up at once is heard, too.
    for (const qos of ['0', '0', '0', '1', '2']) await publish(version, 'a', 'x', '-q', qos);
    await publish(version, 'kept', 'on', '-q', '1', '-r');
    // It subscribes and goes; retained messages come at each subscription.
    await hear(version, ...session(version), '-E');
  });
  await gateway.restart('kill');
  await each(async (version) => {
    await publish(version, 'a', 'one', '-q', '1');
    await publish(version, 'a', 'two', '-q', '2');
  });
  await gateway.restart('stop');
  const waiting = ['a one 1 0', 'a two 2 0', 'kept on 1 1'];
  const heard = await each((version) => hear(version, ...session(version), '-C', '3'));
  expect(heard).toEqual(VERSIONS.map(() => waiting));
  const first = ['a x 0', 'a x 0', 'a x 0', 'a x 1', 'a x 2', 'kept on 1'];
  await expect.poll(logged).toEqual(inEach([...first, 'a one 1', 'a two 2']));
});

test('wills, retained, of clients that are gone, and a topic of another device', async () => {
  const mortals = await each((version) => {
    const will = ['--will-topic', `plant/press-1/${version}/state`, '--will-payload', 'gone'];
    const how = ['--will-qos', '1', '--will-retain', '-t', 'plant/press-1/x', '-V', version];
    const args = ['-o0', 'mosquitto_sub', ...withCertificate, ...will, ...how, '-d'];
    return startProcess({ command: 'stdbuf', args });
  });
  for (const mortal of mortals) await mortal.waitFor(/received SUBACK/u);
  for (const mortal of mortals) await mortal.kill();
  const states = await each((version) =>
    hear(version, '-t', `plant/+/${version}/state`, '-C', '1'),
  );
  expect(states).toEqual(VERSIONS.map(() => ['state gone 1 1']));
  const foreign = [...withCertificate, '-V', 'mqttv5', '-q', '1', '-t', 'plant/press-2/a'];
  const args = [...foreign, '-m', 'x', '-d'];
  const { stdout, stderr } = await runProcess({ command: 'mosquitto_pub', args }, 20_000);
  expect(stdout + stderr).toMatch(/not authori[sz]ed/iu);
  expect(await logged()).toEqual(inEach(['state gone 1']));
});
