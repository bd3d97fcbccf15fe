import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/agent/config.ts';
import { parseHttpAddress, formatHttpAddress } from '../../src/agent/http-address.ts';
import { withFlags } from '../../src/cli/flags.ts';
import type { Config } from '../../src/agent/config-types.ts';

/** `http:` as it is written, and what becomes of it; what is refused stands in bad-http-configs.ts. */
function configOf(text: string): Config {
  return parseConfig(text, 'g.yaml', { env: {}, workingFolder: '/place' }).config;
}

test('is there by itself, for this machine, and commands nothing', () => {
  expect(configOf('').http).toEqual({
    listen: ['http://127.0.0.1:9680'],
    token: undefined,
    adminToken: undefined,
    hosts: [],
    allowPlain: false,
    tls: undefined,
  });
});

test.each(['http: false', 'http: off', 'http: {listen: []}'])('is off by %s', (text) => {
  expect(configOf(text).http.listen).toEqual([]);
});

test('elsewhere it wants a token, and a certificate beside the file', () => {
  const { http } = configOf(
    'http:\n  listen: ["https://0.0.0.0"]\n  token: 0123456789abcdef\n  tls: {cert: a.pem, key: a.key}\n',
  );
  expect(http.tls).toMatchObject({ cert: '/place/a.pem', key: '/place/a.key' });
  const plain =
    'http: {listen: ["http://0.0.0.0"], adminToken: 0123456789abcdef, allowPlain: true}';
  expect(configOf(plain).http.listen).toEqual(['http://0.0.0.0']);
});

test('--http is one address, under the rules of the file, or off', () => {
  const flagged = (http: string, text = ''): Config['http'] =>
    withFlags(configOf(text), { http }, '/place').http;
  expect(flagged('off').listen).toEqual([]);
  expect(flagged('http://127.0.0.1:1').listen).toEqual(['http://127.0.0.1:1']);
  expect(() => flagged('localhost')).toThrow('--http: expected an address');
  expect(() => flagged('http://0.0.0.0:1')).toThrow('--http: expected http.token');
  const open = 'http: {token: 0123456789abcdef, allowPlain: true}';
  expect(flagged('http://0.0.0.0:1', open).token).toBe('0123456789abcdef');
});

describe('an address', () => {
  test.each([
    ['http://127.0.0.1', { secure: false, host: '127.0.0.1', port: 9680, isLocal: true }],
    ['http://127.0.0.1:80', { secure: false, host: '127.0.0.1', port: 80, isLocal: true }],
    ['https://[::1]:443', { secure: true, host: '::1', port: 443, isLocal: true }],
    ['https://[::]', { secure: true, host: '::', port: 9680, isLocal: false }],
    ['http://localhost/', { secure: false, host: 'localhost', port: 9680, isLocal: true }],
    ['http://0.0.0.0:0', { secure: false, host: '0.0.0.0', port: 0, isLocal: false }],
  ])('%s', (url, address) => {
    expect(parseHttpAddress(url)).toEqual(address);
    expect(parseHttpAddress(formatHttpAddress(address))).toEqual(address);
  });

  test.each(['http://a/b', 'http://a?b', 'http://u:p@a', 'a:1', 'ftp://a'])('%s is none', (url) => {
    expect(parseHttpAddress(url)).toBeUndefined();
  });
});
