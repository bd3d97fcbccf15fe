import { hostname } from 'node:os';
import { expect, test } from 'vitest';
import { leadsTo } from '../../src/agent/own-address.ts';

const OWN = ['192.168.1.7', 'fd00::7'];

test.each([
  ['mqtt://localhost:1907', 'mqtt://127.0.0.1:1907', true],
  ['mqtt://LOCALHOST.:1907', 'mqtt://[::1]:1907', true],
  ['mqtt://127.0.0.1:1907', 'mqtt://localhost:1907', true],
  ['mqtt://127.0.0.1:1907', 'mqtt://0.0.0.0:1907', true],
  ['mqtt://127.0.1.1:1907', 'mqtt://0.0.0.0:1907', true],
  ['mqtt://[::1]:1907', 'mqtt://[::]:1907', true],
  ['mqtt://192.168.1.7:1907', 'mqtt://0.0.0.0:1907', true],
  ['mqtt://[fd00::7]:1907', 'mqtt://[::]:1907', true],
  ['mqtt://192.168.1.7', 'mqtt://192.168.1.7:1883', true],
  ['wss://localhost', 'mqtts://127.0.0.1:443', true],
  ['mqtt://0.0.0.0:1907', 'mqtt://127.0.0.1:1907', true],
  [`mqtt://${hostname()}:1907`, 'mqtt://0.0.0.0:1907', true],
  ['mqtt://localhost:1908', 'mqtt://127.0.0.1:1907', false],
  ['mqtt://192.168.1.7:1907', 'mqtt://127.0.0.1:1907', false],
  ['mqtt://192.168.1.8:1907', 'mqtt://0.0.0.0:1907', false],
  ['mqtt://central.example.com:1907', 'mqtt://0.0.0.0:1907', false],
])('%s leads to %s: %s', (url, listened, expected) => {
  expect(leadsTo(url, listened, OWN)).toBe(expected);
});
