import { expect, test } from 'vitest';
import { Scrubber } from '../../../src/cli/bundle/scrub.ts';

/** Nothing that is known, and nothing that looks like a secret, gets through; the rest stays as it is. */
const scrub = (text: string, known: readonly string[] = []): string =>
  new Scrubber(known).text(text);

test.each([
  ['a URL', 'mqtts://gw:hush@centre:8883/x', 'mqtts://(not shown)@centre:8883/x'],
  ['a header', 'Authorization: Bearer hush.hush', 'Authorization: Bearer (not shown)'],
  ['another header', 'x-api-key: hush', 'x-api-key: (not shown)'],
  ['an option', 'ssl.key.password=hush next', 'ssl.key.password=(not shown) next'],
  ['JSON in a text', 'got {"token":"hush"}', 'got {"token":"(not shown)"}'],
  ['one with signs in it', 'adminToken: hush;hush,hush}hush next', 'adminToken: (not shown) next'],
  ['one in quotes', `password="hush hush;'hush" next`, 'password="(not shown)" next'],
  [
    'JSON in JSON',
    String.raw`"{\"token\":\"hush\"}" next`,
    String.raw`"{\"token\":\"(not shown)" next`,
  ],
  ['a hash', 'u:$7$101$hush$hush== x', 'u:(not shown) x'],
  ['a token', 'took eyJhbGciOi.hush.hush', 'took (not shown)'],
  [
    'a key',
    'a\n-----BEGIN EC PRIVATE KEY-----\nhush\n-----END EC PRIVATE KEY-----\nb',
    'a\n(not shown)\nb',
  ],
  ['a key that is cut off', '-----BEGIN PRIVATE KEY-----\nhush', '(not shown)'],
])('%s', (_, text, left) => {
  expect(scrub(text)).toBe(left);
});

test.each([
  'mqtt://centre:1883 listens',
  'topic secrets/a: 3 records',
  '12:30:00.000 took 5 ms',
  'group gatelog.gw-1, key {topic}',
])('stays: %s', (text) => {
  expect(scrub(text)).toBe(text);
});

test('what is known goes in all forms, and the one that holds another goes whole', () => {
  const known = ['hush"1', 'hush"1-and-more', 'of\nlines-hush', 'a b/hush', 'x'];
  const text = `hush"1-and-more hush\\"1 lines-hush a%20b%2Fhush ${btoa('a b/hush')} x`;
  expect(scrub(text, known)).toBe('(not shown) (not shown) (not shown) (not shown) (not shown) x');
});

test('JSON stays JSON', () => {
  const scrubber = new Scrubber(['hush']);
  const line = JSON.stringify({
    password: 'p',
    secretCount: 5,
    deep: [{ a: 'a hush b' }],
    token: '',
  });
  const [first, second] = scrubber.lines(`${line}\nplain hush`).split('\n');
  expect(JSON.parse(first ?? '')).toEqual({
    password: '(not shown)',
    secretCount: 5,
    deep: [{ a: 'a (not shown) b' }],
    token: '',
  });
  expect(second).toBe('plain (not shown)');
  expect(scrubber.removed).toBe(3);
});
