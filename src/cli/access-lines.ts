import type { AccessFileStatus } from '../admin/access-file-status.ts';
import type { CertificateStatus } from '../admin/certificate-status.ts';
import type { AgentStatus } from '../admin/status.ts';
import { formatDuration } from '../units.ts';

/** Something about who may come in that a person should see to. */
export interface AccessTrouble {
  /** `tls`, or what the file holds. */
  readonly name: 'tls' | AccessFileStatus['what'];
  /** Devices are, or may be, kept out over it now; else it comes to that. */
  readonly isUrgent: boolean;
  /** What, since when, and what to do. */
  readonly text: string;
}

const LOOKED = 'it is looked at every minute, and at once on SIGHUP';

export function accessTroubles({
  certificates,
  accessFiles,
}: Pick<AgentStatus, 'certificates' | 'accessFiles'>): AccessTrouble[] {
  return [...certificates.flatMap(certificateTroubles), ...accessFiles.flatMap(fileTroubles)];
}

function certificateTroubles(certificate: CertificateStatus): AccessTrouble[] {
  const { file, state, expiresAt, expiresInMs, trouble, troubleSince } = certificate;
  const name = 'tls';
  const found: AccessTrouble[] = [];
  if (state === 'expired') {
    const when = `expired ${formatDuration(-expiresInMs)} ago, ${expiresAt}: devices do not connect`;
    found.push({ name, isUrgent: true, text: `${file} ${when}; renew it, ${LOOKED}` });
  } else if (state === 'expiring') {
    const when = `expires in ${formatDuration(expiresInMs)}, ${expiresAt}`;
    found.push({ name, isUrgent: false, text: `${file} ${when}; renew it before, ${LOOKED}` });
  }
  if (trouble !== null) {
    const text = `the certificate from before is in use, since ${troubleSince}: ${trouble}; mend it, ${LOOKED}`;
    found.push({ name, isUrgent: true, text });
  }
  return found;
}

function fileTroubles({ what, trouble, since, source }: AccessFileStatus): AccessTrouble[] {
  if (trouble === null) return [];
  const text = `the ${what} from before are in use, since ${since}: ${oneLine(trouble)}; `;
  const isUrl = source.includes('://');
  const todo = isUrl ? 'see that it answers, it is asked again by itself' : `mend it, ${LOOKED}`;
  return [{ name: what, isUrgent: true, text: text + todo }];
}

/** Of rules every problem has a line of its own. */
function oneLine(trouble: string): string {
  const [first = '', ...others] = trouble.split('\n');
  return others.length === 0 ? first : `${first} (and ${others.length} more)`;
}
