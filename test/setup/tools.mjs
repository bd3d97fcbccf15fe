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
  { program: 'javac', debian: 'default-jdk-headless' },
  { program: 'curl', debian: 'curl' },
  { program: 'mvn', debian: 'maven' },
  { program: 'openssl', debian: 'openssl' },
  { program: 'cc', debian: 'gcc libc6-dev' },
  { program: 'faketime', debian: 'faketime' },
  { program: 'ip', debian: 'iproute2' },
  { program: 'nft', debian: 'nftables' },
  { program: 'chromium', debian: 'chromium' },
  { program: 'prometheus', debian: 'prometheus' },
  { program: 'promtool', debian: 'prometheus' },
  // Debian's own, which has its packages; another python3 may stand before it on the path.
  { program: 'python3', debian: 'python3-paho-mqtt python3-confluent-kafka', check: hasLibraries },
];

/** Those that only the tests of the Debian package and of systemd need (`npm run test:package`). */
const PACKAGE_TOOLS = [
  { program: 'dpkg-deb', debian: 'dpkg' },
  { program: 'debootstrap', debian: 'debootstrap' },
  { program: 'qemu-aarch64-static', debian: 'qemu-user-static' },
  { program: 'systemd-nspawn', debian: 'systemd-container' },
  { program: 'man', debian: 'man-db' },
  { program: 'buildah', debian: 'buildah' },
  { program: 'linux.uml', debian: 'user-mode-linux' },
];
const ALL_TOOLS = [...TOOLS, ...PACKAGE_TOOLS];

/** The first on the path that will do. */
function find(program, path, check = () => true) {
  return path
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find((file) => existsSync(file) && check(file));
}

/** Where a tool is that `ensureTools` saw to. */
export function toolFile(program) {
  const { check } = ALL_TOOLS.find((tool) => tool.program === program) ?? {};
  const file = find(program, process.env.PATH ?? '', check);
  if (file === undefined) throw new PrepareError(`${program} is missing; npm test installs it`);
  return file;
}

function hasLibraries(file) {
  const load = 'import paho.mqtt.client, confluent_kafka';
  const { status } = spawnSync(file, ['-c', load], { stdio: 'ignore' });
  return status === 0;
}

function javaIsNewEnough(file) {
  const said = spawnSync(file, ['-version'], { encoding: 'utf8' });
  const version = /version "(\d+)/.exec(said.stderr ?? '')?.[1];
  return version !== undefined && Number(version) >= JAVA_MIN;
}

function missingTools(path, wanted) {
  return ALL_TOOLS.filter(
    ({ program, check }) => wanted.includes(program) && find(program, path, check) === undefined,
  );
}

function aptGet(args) {
  const { status } = spawnSync('apt-get', args, {
    stdio: 'inherit',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  return status === 0;
}

/**
 * Debian's packages start what they hold: a broker on port 1883, a Prometheus on 9090. Installed by us it is
 * stopped again; one that was there before is the user's, and is left alone (the tests use ports of their own).
 */
const STARTED_BY_PACKAGES = ['mosquitto', 'prometheus'];

function stopFresh(service) {
  const command = existsSync('/run/systemd/system')
    ? ['systemctl', ['disable', '--now', service]]
    : ['service', [service, 'stop']];
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
  const packages = [...new Set(missing.flatMap(({ debian }) => debian.split(' ')))];
  const mayInstall = process.getuid?.() === 0 && find('apt-get', path) !== undefined;
  if (!mayInstall) throw new PrepareError(explain(missing, packages));
  process.stdout.write(`gatelog: installing ${packages.join(', ')} (apt-get)\n`);
  const install = ['install', '-y', '--no-install-recommends', ...packages];
  if (!aptGet(install)) {
    aptGet(['update']);
    if (!aptGet(install)) throw new PrepareError(explain(missing, packages));
  }
  for (const each of STARTED_BY_PACKAGES) if (packages.includes(each)) stopFresh(each);
  const still = missingTools(path, wanted);
  if (still.length > 0) throw new PrepareError(explain(still, packages));
}
