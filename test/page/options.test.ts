import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

/** What the status page tells people to set is there to be set. */
const ROOT = path.join(import.meta.dirname, '../..');
const PAGE = path.join(ROOT, 'src/page');
const REFERENCE = readFileSync(path.join(ROOT, 'docs/reference.md'), 'utf8');

test('options that the page names are in the reference', () => {
  const texts = readdirSync(PAGE).map((name) => readFileSync(path.join(PAGE, name), 'utf8'));
  const named = texts.flatMap((text) =>
    [
      ...text.matchAll(
        /(?:\b[Ss]et |\braise |\(|\bor )((?:store|http|mqtt)(?:\.[a-z]+)+)\b[^(]/giu,
      ),
    ].map(([, option = '']) => option),
  );
  // The status has parts of the same names.
  const wanted = new Set(
    named.filter((option) => !/^(?:store\.disk|http\.trouble)\b/u.test(option)),
  );
  expect(wanted.size).toBeGreaterThan(3);
  expect([...wanted].filter((option) => !REFERENCE.includes(`**\`${option}\`**`))).toEqual([]);
});
