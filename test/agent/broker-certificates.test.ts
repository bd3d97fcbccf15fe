import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SecureContextOptions } from 'node:tls';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Certificates } from '../../src/agent/broker-certificates.ts';
import type { ServerTls } from '../../src/agent/config-types.ts';
import { LISTEN_LIMITS } from '../../src/listen-limits.ts';
import { DAY_MS } from '../../src/units.ts';
import { makeServerCertificate, type PemFiles } from '../support/server-certificate.ts';
import { SimClock } from '../support/sim-clock.ts';
import { rememberingLogger } from '../support/store-kit.ts';

const LISTENER = 'mqtts://127.0.0.1:8883';
let folder: string;
let long: PemFiles;
let other: PemFiles;
let soon: PemFiles;
let tls: ServerTls;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gatelog-certificates-'));
  long = await makeServerCertificate(folder, 'long', 100);
  other = await makeServerCertificate(folder, 'other', 200);
  soon = await makeServerCertificate(folder, 'soon', 20);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Copies, so that they can be changed. */
function install({ cert, key }: PemFiles): void {
  copyFileSync(cert, tls.cert);
  copyFileSync(key, tls.key);
}

beforeEach(() => {
  const rest = {
    passphrase: undefined,
    ca: undefined,
    requireCertificate: false,
    user: undefined,
  } as const;
  const files = { cert: join(folder, 'in-use.pem'), key: join(folder, 'in-use.key') };
  tls = { ...files, ...rest, minVersion: 'TLSv1.2' };
  install(long);
});

function rig(): {
  clock: SimClock;
  logger: ReturnType<typeof rememberingLogger>;
  certificates: Certificates;
  used: SecureContextOptions[];
  start: () => Promise<void>;
} {
  const clock = new SimClock(Date.now());
  const logger = rememberingLogger();
  const certificates = new Certificates(clock, logger);
  const used: SecureContextOptions[] = [];
  const start = async (): Promise<void> => {
    used.push(await certificates.load(tls));
    certificates.watch(tls, LISTENER, (options) => used.push(options));
  };
  return { clock, logger, certificates, used, start };
}

describe('certificates', () => {
  test('what has changed is taken within a minute, and nothing is done otherwise', async () => {
    const { clock, logger, certificates, used, start } = rig();
    await start();
    await clock.advance(10 * LISTEN_LIMITS.certificateLookMs);
    await certificates.look();
    expect(used).toHaveLength(1);
    install(other);
    await clock.advance(LISTEN_LIMITS.certificateLookMs);
    await expect.poll(() => used.length).toBe(2);
    expect(used[0]?.cert).not.toBe(used[1]?.cert);
    expect(used[1]).toMatchObject({ minVersion: 'TLSv1.2' });
    expect(logger.lines.map(({ level, message }) => `${level} ${message}`)).toEqual([
      `info a new certificate is in use: ${tls.cert}`,
    ]);
    certificates.stop();
  });

  test.each([
    [
      'is cut short',
      () => writeFileSync(tls.cert, '-----BEGIN CERTIFICATE-----\nMIIB'),
      'cert',
      /holds no certificate in PEM form/u,
    ],
    [
      'is not one',
      () =>
        writeFileSync(tls.cert, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
      'cert',
      /holds a certificate that can't be read/u,
    ],
    ['is gone', () => rmSync(tls.cert), 'cert', /can't be read: there is no such file/u],
    [
      'came without its key',
      () => copyFileSync(other.cert, tls.cert),
      'key',
      /is not the key of the certificate in .*in-use\.pem/u,
    ],
    [
      'has a key that is none',
      () => writeFileSync(tls.key, 'x'),
      'key',
      /holds no private key that can be used/u,
    ],
  ] as const)(
    'one that %s keeps the old one in use, and is told once',
    async (_, harm, of, why) => {
      const { logger, certificates, used, start } = rig();
      await start();
      harm();
      for (let look = 0; look < 3; look++) await certificates.look();
      expect(used).toHaveLength(1);
      const [line, ...more] = logger.lines;
      expect(more).toEqual([]);
      expect(line).toMatchObject({ level: 'error', fields: { event: 'certificate.unusable' } });
      expect(line?.message).toMatch(why);
      expect(line?.message.startsWith(tls[of])).toBe(true);
      expect(line?.message.endsWith('; the certificate from before stays in use')).toBe(true);
      expect(certificates.status()).toMatchObject([
        {
          state: 'good',
          trouble: expect.stringMatching(why),
          troubleSince: expect.stringMatching(/^\d{4}-/u),
        },
      ]);
      install(other);
      await certificates.look();
      expect(used).toHaveLength(2);
      expect(certificates.status()).toMatchObject([{ trouble: null, troubleSince: null }]);
      certificates.stop();
    },
  );

  test('what expires within 30 days is warned of once a day, until it is renewed', async () => {
    const { clock, logger, certificates, start } = rig();
    install(soon);
    await start();
    expect(certificates.status()).toMatchObject([
      { file: tls.cert, listeners: [LISTENER], state: 'expiring', trouble: null },
    ]);
    const warnings = (): string[] =>
      logger.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
    expect(warnings()).toEqual([expect.stringContaining('expires in')]);
    await certificates.look();
    await clock.advance(DAY_MS - 1);
    await certificates.look();
    expect(warnings()).toHaveLength(1);
    await clock.advance(1);
    await certificates.look();
    expect(warnings()).toHaveLength(2);
    await clock.advance(20 * DAY_MS);
    await certificates.look();
    expect(warnings().at(-1)).toContain('has expired: devices do not connect');
    expect(certificates.status()).toMatchObject([{ state: 'expired' }]);
    install(long);
    await certificates.look();
    expect(certificates.status()).toMatchObject([{ state: 'good' }]);
    certificates.stop();
  });

  test('listeners that share a file are told of together', async () => {
    const { logger, certificates, start } = rig();
    install(soon);
    await start();
    const mutual = { ...tls, ca: long.cert, requireCertificate: true };
    await certificates.load(mutual);
    certificates.watch(mutual, 'wss://h:443/mqtt', () => {});
    rmSync(tls.key);
    await certificates.look();
    expect(logger.lines.map(({ level }) => level)).toEqual(['warn', 'error']);
    install(await makeServerCertificate(folder, 'sooner', 10));
    await certificates.look();
    expect(logger.lines.slice(2).map(({ fields }) => fields['event'])).toEqual([
      'certificate.new',
      'certificate.expiring',
    ]);
    expect(certificates.status()).toMatchObject([{ listeners: [LISTENER, 'wss://h:443/mqtt'] }]);
    certificates.stop();
  });
});
