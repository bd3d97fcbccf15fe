import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ARCHITECTURES, type Architecture } from '../../deploy/package/production-modules.ts';
import { DebianCell } from '../support/debian-root.ts';
import { putPackage, SUITES } from './built-packages.ts';

/** What Debian's own checker says, in each release's version, of what it only mentions, too. */
const ARCHS = Object.keys(ARCHITECTURES) as Architecture[];
/** debootstrap does not find out who provides perl-openssl-abi-3. */
const LINTIAN = ['lintian', 'perl-openssl-defaults'];
/** Debian 12's still asks for it, though Debian 12's systemd is what the package depends on. */
const NO_INIT_SCRIPT = /^I: gatelog: package-supports-alternative-init-but-no-init\.d-script /u;

describe.each(SUITES)('lintian of %s', (suite) => {
  let cell: DebianCell;

  beforeAll(async () => {
    cell = await DebianCell.make({ suite, include: LINTIAN });
  });
  afterAll(async () => {
    await cell?.remove();
  });

  test.each(ARCHS)(
    'finds nothing in %s but what is stated, and all of that',
    async (architecture) => {
      const file = await putPackage(cell.path('tmp'), { architecture });
      const options = ['--allow-root', '--display-info', '--show-overrides'];
      const { stdout } = await cell.run(['lintian', ...options, path.join('/tmp', file)], 400_000);
      const found = stdout.split('\n').filter((line) => /^[A-MO-Z]:/u.test(line));
      const stated = found.filter((line) => line.startsWith('O:'));
      const rest = found.filter((line) => !line.startsWith('O:') && !NO_INIT_SCRIPT.test(line));
      expect(rest).toEqual([]);
      // It has looked, and said so.
      expect(stated.length).toBeGreaterThan(0);
    },
  );
});
