import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { modulesBelow, ROOT } from '../../rules/source-tree.ts';

const CALL =
  /logger\s*(?:\??\.|\[)(?<level>debug|info|warn|error)?[^(]*\(\s*\{[^{}]*?event: '(?<event>[a-z][\w.-]*)'/gu;
/** Made by something that says the rest itself. */
const NAMED =
  /(?:log\(\s*'(?<level>info|warn|error)',\s*|RefusalLine\(\s*|#say\(\s*)'(?<event>[a-z][\w-]*\.[\w.-]+)'/gu;
const ANY =
  /\bevent: (?:[^',\n]+ \? )?'(?<event>[a-z][\w-]*\.[\w.-]+)'(?: : '(?<other>[\w.-]+)')?/gu;

/** Those whose names the code puts together, and their levels. */
const MADE: readonly (readonly [event: string, level: string])[] = [
  ...['users', 'rules', 'keys'].flatMap((what) => [
    [`${what}.usable`, 'info'] as const,
    [`${what}.unusable`, 'error'] as const,
  ]),
  ['certificate.expired', 'warn'],
  ['certificate.expiring', 'warn'],
  ['login.ended', 'warn'],
  ['login.revoked', 'warn'],
];

/** The events that the code names, and the levels that stand beside the names; none: something else says it. */
export function logEvents(): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>();
  const take = (event: string | undefined, level: string | undefined): void => {
    if (event === undefined) return;
    const levels = found.get(event) ?? new Set<string>();
    found.set(event, level === undefined ? levels : levels.add(level));
  };
  for (const [event, level] of MADE) take(event, level);
  for (const { path } of modulesBelow('src')) {
    if (path.startsWith('src/page/')) continue;
    const text = readFileSync(join(ROOT, path), 'utf8');
    for (const pattern of [CALL, NAMED, ANY]) {
      for (const { groups } of text.matchAll(pattern)) {
        take(groups?.['event'], groups?.['level']);
        take(groups?.['other'], undefined);
      }
    }
  }
  return found;
}
