/** The programs that the system tests need beside npm's packages: found, installed, or named. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { PrepareError } from '../../deploy/prepare.mjs';

const JAVA_MIN = 17;

const TOOLS = [
  { program: 'mosquitto', debian: 'mosquitto' },
  { program: 'mosquitto_pub', debian: 'mosquitto-clients' },
  { program: 'mosquitto_sub', debian: 'mosquitto-clients' },
  { program: 'kcat', debian: 'kcat' },
  { program: 'java', debian: 'default-jre-headless', check: javaIsNewEnough },
  { program: 'mvn', debian: 'maven' },
  { program: 'openssl', debian: 'openssl' },
  { program: 'cc', debian: 'gcc libc6-dev' },
  { program: 'faketime', debian: 'faketime' },
  { program: 'ip', debian: 'iproute2' },
  { program: 'nft', debian: 'nftables' },
];

function find(program, path) {
  return path
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find((file) => existsSync(file));
}

function javaIsNewEnough(file) {
  const said = spawnSync(file, ['-version'], { encoding: 'utf8' });
  const version = /version "(\d+)/.exec(said.stderr ?? '')?.[1];
  return version !== undefined && Number(version) >= JAVA_MIN;
}

function missingTools(path, wanted) {
  return TOOLS.filter(({ program, check }) => {
    if (!wanted.includes(program)) return false;
    const file = find(program, path);
    return file === undefined || (check !== undefined && !check(file));
  });
}

function aptGet(args) {
  const { status } = spawnSync('apt-get', args, {
    stdio: 'inherit',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  return status === 0;
}

/**
 * Debian's mosquitto package starts a broker on port 1883. Installed by us it is stopped again; one
 * that was there before is the user's, and is left alone (the tests use ports of their own).
 */
function stopFreshMosquitto() {
  const command = existsSync('/run/systemd/system')
    ? ['systemctl', ['disable', '--now', 'mosquitto']]
    : ['service', ['mosquitto', 'stop']];
  spawnSync(...command, { stdio: 'ignore' });
}

function explain(missing, packages) {
  const names = missing.map(({ program }) =>
    program === 'java' ? `java (${JAVA_MIN} or newer)` : program,
  );
  const debian =
    `  sudo apt-get update\n` +
    `  sudo apt-get install -y --no-install-recommends ${packages.join(' ')}\n`;
  return (
    `programs are missing: ${names.join(', ')}. ` +
    `On Debian or Ubuntu run these commands, then try again:\n${debian}` +
    `Elsewhere install the same programs; as root on Debian it is done by itself.`
  );
}

/** Returns when everything is there; otherwise throws what the person has to do. */
export function ensureTools(path, wanted = TOOLS.map(({ program }) => program)) {
  const missing = missingTools(path, wanted);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(({ debian }) => debian))];
  const mayInstall = process.getuid?.() === 0 && find('apt-get', path) !== undefined;
  if (!mayInstall) throw new PrepareError(explain(missing, packages));
  process.stdout.write(`gatelog: installing ${packages.join(', ')} (apt-get)\n`);
  const install = ['install', '-y', '--no-install-recommends', ...packages];
  if (!aptGet(install)) {
    aptGet(['update']);
    if (!aptGet(install)) throw new PrepareError(explain(missing, packages));
  }
  if (packages.includes('mosquitto')) stopFreshMosquitto();
  const still = missingTools(path, wanted);
  if (still.length > 0) throw new PrepareError(explain(still, packages));
}
