import { expect, test } from 'vitest';
import type { CertificateStatus } from '../../src/admin/certificate-status.ts';
import { accessTroubles } from '../../src/cli/access-lines.ts';

/** What `gatelog status` and `gatelog doctor` say of who may come in. */
const GOOD: CertificateStatus = {
  file: '/tls/server.pem',
  listeners: ['mqtts://h:8883'],
  expiresAt: '2026-03-01T00:00:00.000Z',
  expiresInMs: 40 * 86_400_000,
  state: 'good',
  trouble: null,
  troubleSince: null,
};
const SINCE = '2026-01-02T03:04:05.000Z';

function told(certificates: CertificateStatus[], trouble: string | null = null): string[] {
  const since = trouble === null ? null : SINCE;
  const accessFiles = [{ what: 'rules', source: '/etc/rules', trouble, since } as const];
  return accessTroubles({ certificates, accessFiles }).map(
    ({ name, isUrgent, text }) => `${isUrgent ? '!' : ''}${name} ${text}`,
  );
}

test('what is good is not mentioned', () => {
  expect(told([GOOD])).toEqual([]);
});

test('what expires is told with what to do, before and after', () => {
  const expiring = { ...GOOD, state: 'expiring', expiresInMs: 3 * 86_400_000 } as const;
  const expired = { ...GOOD, state: 'expired', expiresInMs: -7_200_000 } as const;
  expect(told([expiring])).toEqual([
    'tls /tls/server.pem expires in 3d, 2026-03-01T00:00:00.000Z; renew it before, it is looked at every minute, and at once on SIGHUP',
  ]);
  expect(told([expired])).toEqual([
    '!tls /tls/server.pem expired 2h ago, 2026-03-01T00:00:00.000Z: devices do not connect; renew it, it is looked at every minute, and at once on SIGHUP',
  ]);
});

test('what can not be used is told with since when, in one line', () => {
  const broken = { ...GOOD, trouble: '/tls/server.pem can’t be read', troubleSince: SINCE };
  expect(told([broken], '/etc/rules:1:1: bad\n/etc/rules:2:1: worse')).toEqual([
    `!tls the certificate from before is in use, since ${SINCE}: /tls/server.pem can’t be read; mend it, it is looked at every minute, and at once on SIGHUP`,
    `!rules the rules from before are in use, since ${SINCE}: /etc/rules:1:1: bad (and 1 more); mend it, it is looked at every minute, and at once on SIGHUP`,
  ]);
});
