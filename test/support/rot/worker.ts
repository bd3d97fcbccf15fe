/**
 * Builds and checks folders for the campaign in a process of its own, since LevelDB may abort it: a
 * request is a line of JSON on its input, the answer a line on its output.
 */
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { messageOf } from '../../../src/errors.ts';
import { buildFolder, type Model } from './build.ts';
import { checkFolder, type Circumstances } from './check.ts';

export type Request =
  | {
      readonly do: 'build';
      readonly folder: string;
      readonly seed: number;
      readonly clean: boolean;
    }
  | ({
      readonly do: 'check';
      readonly folder: string;
      readonly model: string;
    } & Circumstances);

async function answer(request: Request): Promise<readonly string[]> {
  if (request.do === 'build') {
    await buildFolder(request.folder, request.seed, request.clean);
    return [];
  }
  const model = JSON.parse(await readFile(request.model, 'utf8')) as Model;
  return checkFolder(request.folder, model, request);
}

for await (const line of createInterface({ input: process.stdin })) {
  let problems: readonly string[];
  try {
    problems = await answer(JSON.parse(line) as Request);
  } catch (error) {
    const stack = error instanceof Error ? (error.stack ?? '').split('\n').slice(1, 4) : [];
    problems = [`it threw ${messageOf(error)}${stack.join(' ')}`];
  }
  process.stdout.write(`${JSON.stringify(problems)}\n`);
}
