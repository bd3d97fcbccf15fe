import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, test } from 'vitest';
import { blocksOf, documents } from '../support/docs/blocks.ts';
import { Sandbox } from '../support/docs/sandbox.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { freePorts } from '../support/ports.ts';

/**
 * Every `sh` block of the documents is run, a document's one after the other in a folder of its own, against a
 * real Kafka. Documents do not wait for each other: most of their time they wait for something.
 */
const kafka = KafkaOfFile.open();
const compiled = mkdtempSync(path.join(tmpdir(), 'gatelog-compiled-'));
afterAll(() => rmSync(compiled, { recursive: true, force: true }));

/** Shown in documents, and run by tests of their own: test/edge/demo.test.ts, and this whole suite. */
const ELSEWHERE = /^npm (?:start|test|run test)\b/u;

/** Where records wait for a link that there is not. */
const WITHOUT_LINK = new Set(['docs/carrying.md']);

/** For documents that take one for granted: it has a record, and a mirror. */
function usualAgent(file: string): string[] {
  const brokers = WITHOUT_LINK.has(file) ? '"127.0.0.1:1"' : '"kafka-1:9092"';
  const config = `gateway: gw-1\nmirrors: {central: {kafka: {brokers: [${brokers}]}}}`;
  return [
    `cat > gatelog.yaml <<< '${config}'\n`,
    'gatelog run --config gatelog.yaml --mqtt mqtt://127.0.0.1:1883\n',
    'mosquitto_pub -q 1 -t plant/press-1 -m 1\n',
  ];
}

const HAS_ITS_OWN = /^(?:(?:npx )?gatelog (?:run|init)\b|.*\| gatelog init\b)/mu;

const shown = documents()
  .map((file): [string, string[]] => [
    file,
    blocksOf(file)
      .filter(({ language, notRun }) => language === 'sh' && notRun === undefined)
      .map(({ text }) => text)
      .filter((text) => !ELSEWHERE.test(text)),
  ])
  .filter(([, blocks]) => blocks.length > 0);

/** Of each, while all the others run beside it. */
const TIMEOUT_MS = 400_000;

describe('every sh block is run, or says why not', { timeout: TIMEOUT_MS }, () => {
  test.concurrent.for(shown)('%s', async ([file, blocks], { expect }) => {
    const [port = 0] = await freePorts(1);
    const gateway = `gw-docs-${path.basename(file, '.md').toLowerCase()}`;
    const sandbox = new Sandbox({ cluster: kafka.cluster, gateway, port, compiled });
    try {
      const own = blocks.some((block) => HAS_ITS_OWN.test(block));
      for (const block of own ? blocks : [...usualAgent(file), ...blocks]) {
        expect(await sandbox.run(block)).toBe('');
      }
      expect(sandbox.fallen).toBe(0);
    } finally {
      await sandbox.remove();
    }
  });
});
