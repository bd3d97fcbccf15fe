import { messageOf } from '../errors.ts';
import { LISTEN_LIMITS } from '../listen-limits.ts';
import { isoTime } from '../time.ts';
import type { DataPath } from './config-document.ts';
import type { Config } from './config-types.ts';
import { readPems, serverCertificate } from './server-certificate.ts';

export interface CertificateFinding {
  readonly at: DataPath;
  readonly message: string;
  /** It can't be used; else it can, and is to be renewed. */
  readonly isError: boolean;
}

/** Reads the files of all listeners with TLS, HTTP's too, which the configuration alone only names. */
export async function checkCertificates(
  { mqtt, http }: Config,
  nowMs: number,
): Promise<CertificateFinding[]> {
  const findings: CertificateFinding[] = [];
  const named = mqtt.listen.map(({ tls }, index) => ({
    tls,
    at: ['mqtt', 'listen', index, 'tls'],
  }));
  for (const { tls, at } of [...named, { tls: http.tls, at: ['http', 'tls'] }]) {
    if (tls === undefined) continue;
    try {
      const { expiresMs } = serverCertificate(tls, await readPems(tls));
      const isGood = expiresMs - nowMs >= LISTEN_LIMITS.certificateWarnMs;
      const verb = expiresMs <= nowMs ? 'expired' : 'expires';
      const message = `${tls.cert} ${verb} at ${isoTime(expiresMs)}`;
      if (!isGood) findings.push({ at, message, isError: false });
    } catch (error) {
      findings.push({ at, message: messageOf(error), isError: true });
    }
  }
  return findings;
}
