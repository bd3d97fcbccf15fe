import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, test } from 'vitest';
import { type Block, blocksOf, documents } from '../support/docs/blocks.ts';
import { AROUND, rigOf } from '../support/docs/rigs.ts';
import { PORTS, Sandbox } from '../support/docs/sandbox.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { freePorts } from '../support/ports.ts';

/**
 * Every command and program that the documents show is run, a document's one after the other in a folder of its own, against a
 * real Kafka. Documents do not wait for each other: most of their time they wait for something.
 */
const kafka = KafkaOfFile.open();
const compiled = mkdtempSync(path.join(tmpdir(), 'gatelog-compiled-'));
afterAll(() => rmSync(compiled, { recursive: true, force: true }));

/** Shown in documents, and run by tests of their own: test/edge/demo.test.ts, and this whole suite. */
const ELSEWHERE = /^npm (?:start|test|run test)\b/u;

const HAS_ITS_OWN = /^(?:(?:npx )?gatelog (?:run|init)\b|.*\| gatelog init\b)/mu;

/** What is run here. The others: configurations (test/cli/docs.test.ts), and what other programs read. */
const LANGUAGES = new Set(['sh', 'python', 'java', 'js']);

const shown = documents()
  .map((file): [string, Block[]] => [
    file,
    blocksOf(file)
      .filter(({ language, notRun, inDebian }) => {
        return LANGUAGES.has(language) && notRun === undefined && !inDebian;
      })
      .filter(({ text }) => !ELSEWHERE.test(text)),
  ])
  .filter(([, blocks]) => blocks.length > 0);

/** For documents that take it for granted. */
async function setUp(sandbox: Sandbox, file: string): Promise<string[]> {
  const { config, before } = rigOf(file);
  if (config.includes('tls:')) await sandbox.makeCertificates();
  sandbox.write('http-admin-token', 'choose-a-long-token\n');
  sandbox.write('gatelog.yaml', `gateway: gw-1\n${config}`);
  const http = config.includes('http:') ? '' : ' --http off';
  return [`gatelog run --config gatelog.yaml${http}\n`, ...before];
}

function runBlock(sandbox: Sandbox, { file, language, text }: Block): Promise<string> {
  if (language === 'sh') return sandbox.run(text);
  const around = AROUND[`${file} ${language}`] ?? '{shown}';
  return sandbox.runProgram(
    language,
    around.replace('{shown}', () => text),
  );
}

/** Of each, while all the others run beside it. */
const TIMEOUT_MS = 400_000;

describe('what is shown is run, or says why not', { timeout: TIMEOUT_MS }, () => {
  test.concurrent.for(shown)('%s', async ([file, blocks], { expect }) => {
    const ports = await freePorts(PORTS.length);
    const gateway = `gw-docs-${path.basename(file, '.md').toLowerCase()}`;
    const sandbox = new Sandbox({ cluster: kafka.cluster, gateway, ports, compiled });
    try {
      if (!blocks.some(({ text }) => HAS_ITS_OWN.test(text))) {
        for (const line of await setUp(sandbox, file)) expect(await sandbox.run(line)).toBe('');
      }
      for (const block of blocks) expect(await runBlock(sandbox, block)).toBe('');
      expect(sandbox.fallen).toEqual([]);
    } finally {
      await sandbox.remove();
    }
  });
});
