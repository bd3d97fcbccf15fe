import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import type { LoadedConfig } from '../agent/config.ts';
import { isServiceConfig, SERVICE_PLACE } from '../service-place.ts';

/** The user that runs the agent, where root looks at a configuration for it. */
export interface ServiceReader {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** The package's unit shows it no home folders (ProtectHome=). */
  readonly seesHomes: boolean;
}

const ROOT = 0;
const HOMES = ['/home/', '/root/', '/run/user/'];

/** undefined: the agent runs as who asks, or nobody knows as whom. */
export async function serviceReader(
  file: string,
  data: string,
  uid: number | undefined = process.getuid?.(),
): Promise<ServiceReader | undefined> {
  if (uid !== ROOT) return undefined;
  const users = (await readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n');
  const isService = isServiceConfig(file) && data === SERVICE_PLACE.data;
  const owner = isService ? undefined : (await stat(data).catch(() => undefined))?.uid;
  for (const line of users) {
    const [name = '', , id = '', group = ''] = line.split(':');
    const isMeant = isService ? name === 'gatelog' : owner !== undefined && Number(id) === owner;
    if (!isMeant || Number(id) === ROOT) continue;
    return { name, uid: Number(id), gid: Number(group), seesHomes: !isService };
  }
  return undefined;
}

/** Files that the configuration names and that user can't read, each with what to do. */
export async function unreadableFiles(
  { config, files, references }: LoadedConfig,
  reader: ServiceReader,
): Promise<string[]> {
  const { usersFile, aclFile, jwt } = config.mqtt;
  const tls = [...config.mqtt.listen.map((one) => one.tls), config.http.tls];
  const pems = tls.flatMap((one) => (one === undefined ? [] : [one.cert, one.key, one.ca]));
  const keys = jwt?.keys?.kind === 'file' ? jwt.keys.file : undefined;
  const own = files.map(({ file }) => path.resolve(file));
  // systemd reads those as root, and hands them on.
  const handedOn = new Set(own.map((file) => path.join(path.dirname(file), 'credentials')));
  const named = [...own, ...references, ...pems, usersFile, aclFile, keys].filter(
    (file) => file !== undefined && !handedOn.has(path.dirname(file)),
  );
  const found: string[] = [];
  for (const file of new Set(named)) {
    const trouble = await troubleWith(file ?? '', reader);
    if (trouble !== undefined) found.push(trouble);
  }
  return found;
}

async function troubleWith(file: string, reader: ServiceReader): Promise<string | undefined> {
  const { name } = reader;
  const who = `user ${name}, who runs the agent,`;
  if (!reader.seesHomes && HOMES.some((home) => file.startsWith(home))) {
    const copy = `install -o ${name} -m 600 ${file} ${SERVICE_PLACE.configFolder}/`;
    return `${file}: the service sees no home folders: copy it (${copy}) and name that one`;
  }
  const folders = ancestorsOf(file);
  for (const folder of folders) {
    if (await may(folder, reader, 1)) continue;
    return `${file}: ${who} may not enter ${folder}: copy it to where it may`;
  }
  if (await may(file, reader, 4)) return undefined;
  return `${file}: ${who} can't read it: chown ${name} ${file}`;
}

function ancestorsOf(file: string): string[] {
  const folders: string[] = [];
  for (let at = path.dirname(file); at !== path.dirname(at); at = path.dirname(at)) {
    folders.unshift(at);
  }
  return folders;
}

/** By the bits of its mode. What is not there is another matter. */
async function may(file: string, { uid, gid }: ServiceReader, bit: 1 | 4): Promise<boolean> {
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) return true;
  const shift = found.uid === uid ? 6 : found.gid === gid ? 3 : 0;
  return ((found.mode >> shift) & bit) !== 0;
}
