import { X509Certificate } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { LoadedConfig } from '../agent/config.ts';
import { checkCertificates } from '../agent/config-certificates.ts';
import { checkAclFile, checkTokenKeys, checkUsersFile } from '../agent/config-users.ts';
import type { Redaction } from '../agent/config-redaction.ts';
import type { Config } from '../agent/config-types.ts';
import { messageOf } from '../errors.ts';
import { LISTEN_LIMITS } from '../listen-limits.ts';
import { type Clock, isoTime, parseIsoTime } from '../time.ts';
import { counted } from '../words.ts';
import type { Section } from './doctor-sections.ts';
import { serviceReader, unreadableFiles } from './service-reader.ts';

/** What `gatelog doctor` makes of the configuration that it was given, and of the files that it names. */
export async function configSections(
  loaded: LoadedConfig,
  redaction: Redaction,
  file: string,
  clock: Clock,
): Promise<Section[]> {
  return [
    await configSection(loaded, file),
    await certificateSection(loaded.config, clock),
    await permissionSection(loaded, redaction, file),
  ];
}

async function configSection(
  { config, warnings, files }: LoadedConfig,
  file: string,
): Promise<Section> {
  const [, ...included] = files.map((one) => one.file);
  const more = included.length === 0 ? '' : ` with ${included.join(', ')}`;
  const named = [
    ...(await checkUsersFile(config)),
    ...(await checkAclFile(config)),
    ...(await checkTokenKeys(config)),
  ];
  return {
    title: 'config',
    lines: [`${file}${more}, gateway ${config.gateway}`],
    findings: named.filter(({ isError }) => isError).map(({ message }) => message),
    advice: [...warnings, ...named.filter(({ isError }) => !isError).map(({ message }) => message)],
  };
}

/** Those that devices are shown, and those that upstreams are. */
async function certificateSection(config: Config, clock: Clock): Promise<Section> {
  const nowMs = clock.nowMs();
  const found = (await checkCertificates(config, nowMs)).map(({ message }) => message);
  let count = config.mqtt.listen.filter(({ tls }) => tls !== undefined).length;
  for (const [name, { upstream }] of Object.entries(config.mirrors)) {
    const { cert, ca } = upstream.tls ?? {};
    for (const [what, pem] of [
      ['client certificate', cert],
      ['CA', ca],
    ] as const) {
      if (pem === undefined) continue;
      count++;
      const trouble = pemTrouble(pem, nowMs);
      if (trouble !== undefined) found.push(`the ${what} of mirror ${name} ${trouble}`);
    }
  }
  const title = 'certificates';
  const lines = [count === 0 ? 'none are used' : `${counted(count, 'file')} looked at`];
  return { title, lines, findings: found.map((text) => `${text}; renew it`) };
}

/** Of the first that stands in the text. */
function pemTrouble(pem: string, nowMs: number): string | undefined {
  try {
    const untilMs = parseIsoTime(new X509Certificate(pem).validTo) ?? Infinity;
    if (untilMs <= nowMs) return `expired at ${isoTime(untilMs)}`;
    const isNear = untilMs - nowMs < LISTEN_LIMITS.certificateWarnMs;
    return isNear ? `expires at ${isoTime(untilMs)}` : undefined;
  } catch (error) {
    return `can't be read: ${messageOf(error)}`;
  }
}

const OTHERS = 0o007;

/** Whether secrets can be read by everybody on the machine. */
async function permissionSection(
  loaded: LoadedConfig,
  redaction: Redaction,
  config: string,
): Promise<Section> {
  const { mqtt, data } = loaded.config;
  const reader = await serviceReader(config, data);
  const keys = mqtt.listen.flatMap(({ tls }) => (tls === undefined ? [] : [tls.key]));
  const users = mqtt.usersFile === undefined ? [] : [mqtt.usersFile];
  const files = [...new Set([...redaction.files, ...keys, ...users])];
  const findings: string[] = [];
  for (const file of files) {
    const found = await stat(file).catch(() => undefined);
    if (found === undefined || (found.mode & OTHERS) === 0) continue;
    const mode = (found.mode & 0o777).toString(8);
    // Closed for others, it is still to be read by who runs the agent.
    const first =
      reader === undefined || reader.uid === found.uid ? '' : `chown ${reader.name}, and `;
    findings.push(
      `${file} holds secrets, and everybody on this machine may read it (mode ${mode}): ${first}chmod 600`,
    );
  }
  if (reader !== undefined) findings.push(...(await unreadableFiles(loaded, reader)));
  const good = `${counted(files.length, 'file')} with secrets looked at`;
  const line = files.length === 0 ? 'no file with secrets is named' : good;
  return { title: 'permissions', lines: [line], findings };
}
