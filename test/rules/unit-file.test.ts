import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import NODE_ENVIRONMENT from '../../deploy/node-env.json' with { type: 'json' };
import NODE_FLAGS from '../../deploy/node-flags.json' with { type: 'json' };
import { exitCodeOf } from '../../src/errors.ts';
import { LIMITS } from '../../src/limits.ts';
import { parseDuration } from '../../src/units.ts';

const unit = readFileSync('deploy/systemd/gatelog.service', 'utf8');

function setting(name: string): string {
  const value = new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1];
  if (value === undefined) throw new Error(`the unit has no ${name}`);
  return value;
}

describe('deploy/systemd/gatelog.service', () => {
  it('gives the agent longer to stop than the agent gives itself', () => {
    const stopMs = parseDuration(setting('TimeoutStopSec'));
    expect(stopMs).toBeGreaterThanOrEqual(LIMITS.stopMs + 5000);
  });

  it('does not restart what only a person can mend, and restarts the rest', () => {
    const codes = setting('RestartPreventExitStatus').split(' ').map(Number);
    expect(codes).toContain(exitCodeOf('CONFIG_INVALID'));
    expect(codes).toContain(exitCodeOf('USAGE'));
    expect(codes).toContain(exitCodeOf('STORE_FORMAT_NEWER'));
    expect(codes).toContain(exitCodeOf('STORE_FOREIGN'));
    expect(codes).toContain(exitCodeOf('STORE_FORBIDDEN'));
    expect(codes).not.toContain(exitCodeOf('STORE_READ_ONLY'));
    expect(codes).not.toContain(exitCodeOf('STORE_FULL'));
    expect(codes).not.toContain(exitCodeOf('STORE_MISSING'));
    expect(codes).not.toContain(exitCodeOf('STORE_LOCKED'));
    expect(codes).not.toContain(exitCodeOf('STORE_CORRUPT'));
    expect(codes).not.toContain(exitCodeOf('INTERNAL'));
  });

  it('gives Node the flags and the environment that every other way of starting it gives', () => {
    const flags = NODE_FLAGS.join(' ');
    expect(setting('ExecStart')).toContain(`/.bin/node ${flags} /usr/lib/gatelog/dist/main.js run`);
    const settings = Object.entries(NODE_ENVIRONMENT).map(([name, value]) => `${name}=${value}`);
    for (const one of settings) expect(unit.split('\n')).toContain(`Environment=${one}`);
    const assignments = settings.join(' ');
    expect(readFileSync('src/main.ts', 'utf8')).toMatch(
      `#!/usr/bin/env -S ${assignments} node ${flags}\n`,
    );
    const command = readFileSync('node_modules/.bin/gatelog', 'utf8');
    expect(command.split(flags)).toHaveLength(3);
    expect(command.split('\n')).toContain(`export ${assignments}`);
  });

  it('leaves V8 its machine code', () => {
    expect(unit).not.toMatch(/^MemoryDenyWriteExecute=/m);
  });
});
