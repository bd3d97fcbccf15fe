import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GatelogError, systemCodeOf } from '../errors.ts';
import { kindOf } from './files.ts';
import { QUARANTINE } from './quarantine-folder.ts';

/**
 * A disk that is not mounted leaves an empty folder behind, and a gateway that begins anew in it
 * would fill the wrong disk, as another log. Throws STORE_MISSING where that is so: when a person
 * said that the data MUST be there, or when /etc/fstab has a mount on the way to the folder that is
 * not mounted.
 */
export async function requirePresence(folder: string, mustExist: boolean): Promise<void> {
  if (await holdsData(folder)) return;
  if (mustExist) {
    throw new GatelogError(
      'STORE_MISSING',
      `the data folder ${folder} holds no gatelog data, and store.mustExist says that it must: ` +
        `is its disk there and mounted? For a new folder start once without store.mustExist`,
    );
  }
  const wanted = await textOf('/etc/fstab');
  const mounted = await textOf('/proc/self/mounts');
  const missing = missingMount(folder, wanted, mounted);
  if (missing === undefined) return;
  throw new GatelogError(
    'STORE_MISSING',
    `the data folder ${folder} lies on ${missing}, which /etc/fstab mounts and which is not ` +
      `mounted: mount it, or choose another folder`,
  );
}

async function holdsData(folder: string): Promise<boolean> {
  try {
    const state = await kindOf(join(folder, 'state'));
    return state !== 'nothing' || (await kindOf(join(folder, 'log'))) !== 'nothing';
  } catch (error) {
    // Whatever stands in the way is told when the folder is opened.
    return systemCodeOf(error) !== 'ENOENT';
  }
}

/**
 * Why a log begins anew in a folder that was used before: what stands beside the state database and
 * the log is made after them. undefined: it does not.
 */
export async function emptied(folder: string): Promise<string | undefined> {
  const kinds = ['state', 'log'].map((name) => kindOf(join(folder, name)));
  if ((await Promise.all(kinds)).some((kind) => kind !== 'nothing')) return undefined;
  if ((await kindOf(join(folder, QUARANTINE))) === 'nothing') return undefined;
  return 'it was gone, and the log with it: a new log begins in a folder that was used before';
}

/**
 * The mount point on the way to `folder` that `fstab` mounts by itself and that is not among `mounts`
 * (both in the form of fstab(5)); undefined when there is none.
 */
export function missingMount(folder: string, fstab: string, mounts: string): string | undefined {
  const mounted = new Set(pointsOf(mounts).map(({ point }) => point));
  const wanted = pointsOf(fstab)
    .filter(({ options }) => !/\b(?:noauto|x-systemd\.automount)\b/u.test(options))
    .map(({ point }) => point)
    .filter((point) => point.startsWith('/') && point !== '/');
  return wanted.find((point) => isBelow(folder, point) && !mounted.has(point));
}

function isBelow(folder: string, point: string): boolean {
  return folder === point || folder.startsWith(`${point}/`);
}

function pointsOf(table: string): { readonly point: string; readonly options: string }[] {
  return table
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, point = '', , options = ''] = line.split(/\s+/u);
      return { point: unescaped(point).replace(/(?<=.)\/+$/u, ''), options };
    });
}

/** A space in a path is written as \040. */
function unescaped(text: string): string {
  return text.replaceAll(/\\(\d{3})/gu, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

async function textOf(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '');
}
