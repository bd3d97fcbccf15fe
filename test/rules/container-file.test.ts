import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import { ROOT } from './source-tree.ts';

/** deploy/container/Containerfile: test/package builds it; its rules are looked at here. */
const text = readFileSync(join(ROOT, 'deploy/container/Containerfile'), 'utf8');
const instructions = text
  .replaceAll(/^#.*\n/gmu, '')
  .replaceAll(/\\\n\s*/gu, ' ')
  .split('\n')
  .filter((line) => line.trim() !== '')
  .map((line) => {
    const [, name = '', rest = ''] = /^([A-Z]+)\s+(.*)$/u.exec(line) ?? [];
    return { name, rest };
  });

function only(name: string): string {
  const found = instructions.filter((one) => one.name === name);
  expect(found).toHaveLength(1);
  return found[0]?.rest ?? '';
}

describe('deploy/container/Containerfile', () => {
  test('has instructions that there are, FROM first', () => {
    const known =
      /^(?:FROM|ARG|COPY|RUN|ENV|USER|WORKDIR|VOLUME|EXPOSE|STOPSIGNAL|HEALTHCHECK|ENTRYPOINT|CMD)$/u;
    expect(instructions.filter(({ name }) => !known.test(name))).toEqual([]);
    expect(instructions[0]?.name).toBe('FROM');
  });

  test('stands on a named release of Debian that the package is made for', () => {
    expect(only('FROM')).toMatch(/^docker\.io\/library\/debian:1[23]-slim$/u);
  });

  test('takes the package of the architecture that is built for', () => {
    expect(only('COPY')).toBe(`packages/gatelog_*_\${TARGETARCH}.deb /tmp/`);
    expect(only('ARG')).toBe('TARGETARCH');
  });

  test('installs in one layer, with nothing recommended, and leaves no lists behind', () => {
    const run = only('RUN');
    expect(run).toMatch(/&& apt-get update +&& apt-get install --yes --no-install-recommends /u);
    expect(run).toMatch(/&& rm -rf \/var\/lib\/apt\/lists\/\* \/tmp\/gatelog_\*\.deb$/u);
  });

  test('runs as the agent’s user, from then on, whose number an owner of volumes can know', () => {
    const [user, group] = only('USER').split(':');
    expect(only('RUN')).toContain(`groupadd --system --gid ${group} gatelog `);
    expect(only('RUN')).toContain(`useradd --system --uid ${user} --gid gatelog `);
    const names = instructions.map(({ name }) => name);
    expect(names.indexOf('USER')).toBeGreaterThan(names.indexOf('RUN'));
  });

  test('starts the agent itself, which gets the signals', () => {
    expect(only('ENTRYPOINT')).toBe('["gatelog"]');
    const command = JSON.parse(only('CMD')) as string[];
    expect(command).toEqual(expect.arrayContaining(['run', '/var/lib/gatelog']));
    expect(JSON.parse(only('VOLUME'))).toEqual(['/var/lib/gatelog']);
    expect(only('STOPSIGNAL')).toBe('SIGTERM');
    const seconds = Number(/within (\d+) s/u.exec(text)?.[1]);
    expect(seconds * 1000).toBe(LIMITS.stopMs);
  });

  test('its health is asked of the agent', () => {
    const [, command = ''] = /CMD (\[.*\])$/u.exec(only('HEALTHCHECK')) ?? [];
    expect((JSON.parse(command) as string[]).slice(0, 2)).toEqual(['gatelog', 'status']);
  });
});
