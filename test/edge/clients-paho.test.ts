import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { toolFile } from '../setup/tools.mjs';
import { Gateway } from '../support/gateway.ts';
import { freePorts } from '../support/ports.ts';
import { type Running, startProcess } from '../support/process.ts';

/** paho-mqtt for Python, as Home Assistant uses it, at a real agent that is killed under it. */
const SCRIPT = join(import.meta.dirname, '../support/paho-device.py');

let gateway: Gateway;
let devices: Running[] = [];
beforeEach(() => {
  gateway = new Gateway();
});
afterEach(async () => {
  for (const one of devices) await one.kill();
  await gateway.remove();
});

const COUNT = 1000;

function numbers(line: string): number[] {
  const words = line.split(' ').slice(1);
  return words.map((word) => Number(word.slice(1)));
}

test('QoS 2 in flight both ways over SIGKILLs: each message once, in the log and at the device', async () => {
  const [port = 0] = await freePorts(1);
  await gateway.start(`  listen: ["mqtt://127.0.0.1:${port}"]\n`);
  const versions = ['3.1.1', '5'];
  const command = toolFile('python3');
  devices = await Promise.all(
    versions.map((version) =>
      startProcess({ command, args: [SCRIPT, String(port), version, String(COUNT)] }),
    ),
  );
  for (const count of [COUNT / 5, (COUNT * 3) / 5]) {
    for (const one of devices) {
      await one.waitFor(new RegExp(`^acknowledged ${count}$`, 'mu'), 90_000);
    }
    await gateway.restart('kill');
  }
  const sent = Array.from({ length: COUNT }, (_, index) => index);
  for (const one of devices) {
    const [line] = await one.waitFor(/^heard .*$/mu, 120_000);
    expect(one.stdout()).not.toContain('late');
    expect(numbers(line).toSorted((left, right) => left - right)).toEqual(sent);
  }
  const resumed = devices.filter((one) => /^connected \S+ 1$/mu.test(one.stdout()));
  expect(resumed.length).toBeGreaterThan(0);
  const logged = await gateway.logged();
  for (const version of versions) {
    const own = logged.filter(({ topic }) => topic === `dev/paho-${version}/a`);
    expect(own.map(({ value }) => Number(value.slice(1)))).toEqual(sent);
  }
});
