import type { MachineFacts, MountFacts } from './doctor-machine.ts';
import type { Section } from './doctor-sections.ts';
import { formatSize } from '../units.ts';
import { counted } from '../words.ts';

/** What `gatelog doctor` makes of the machine. Pure, as the sections of the folder are. */
export interface MachineView {
  readonly machine: MachineFacts;
  /** As configured; undefined: no configuration was named. */
  readonly maxConnections: number | undefined;
}

export type ExamineMachine = (view: MachineView) => Section;

/** In the order of the report. */
export const MACHINE_SECTIONS: readonly ExamineMachine[] = [
  machine,
  time,
  fileSystem,
  card,
  memory,
  openFiles,
  settings,
];

const MIB = 1_048_576;

function machine({ machine: facts }: MachineView): Section {
  const { model, system = 'unknown system', kernel, arch, node, nameServers } = facts;
  const what = model === undefined || model === '' ? '' : `${model}, `;
  const asked = nameServers.length === 0 ? 'no DNS is set' : `DNS: ${nameServers.join(', ')}`;
  return {
    title: 'machine',
    lines: [`${what}${system}, Linux ${kernel}, ${arch}, Node ${node}`, asked],
    findings: [],
  };
}

function time({ machine: { timeKeeper, hasClockChip } }: MachineView): Section {
  const title = 'time';
  const chip = hasClockChip
    ? 'a battery-backed clock keeps it'
    : 'no battery-backed clock: after a start without network it is not known (clock.trust)';
  if (timeKeeper === undefined) {
    const nobody = 'nobody says whether the clock is right: install chrony or systemd-timesyncd';
    return { title, lines: [chip], findings: [], advice: [nobody] };
  }
  const { name, isSynchronised } = timeKeeper;
  // Whether it is to be believed the agent knows, which has watched it.
  const late = `${name} has not set the clock yet: see whether it reaches its servers (timedatectl timesync-status, chronyc sources)`;
  return {
    title,
    lines: [isSynchronised ? `set by ${name}` : `not set yet by ${name}`, chip],
    findings: [],
    advice: isSynchronised ? [] : [late],
  };
}

/** What a power cut leaves nothing of. */
const IN_MEMORY = new Set(['tmpfs', 'ramfs', 'rootfs']);
const ON_NETWORK = /^(?:nfs4?|cifs|smb3|9p|fuse\.(?:sshfs|rclone|s3fs)|ceph|glusterfs)$/u;
const WITHOUT_JOURNAL = new Set(['vfat', 'exfat', 'msdos', 'ext2', 'ntfs', 'ntfs3', 'fuseblk']);

function fileSystem({ machine: { mount } }: MachineView): Section {
  const title = 'file system';
  if (mount === undefined) return { title, lines: ['unknown'], findings: [] };
  const { kind, source, point, options } = mount;
  return {
    title,
    lines: [`${kind} on ${source}, mounted at ${point} (${options.join(',')})`],
    findings: mountFindings(mount),
    advice: mountAdvice(mount),
  };
}

function mountFindings({ kind, options }: MountFacts): string[] {
  const findings: string[] = [];
  if (IN_MEMORY.has(kind)) {
    findings.push(
      `${kind} is memory: a power cut takes the whole log; put the data folder on a card or disk`,
    );
  }
  if (options.includes('ro')) {
    findings.push(
      'it is mounted read-only: nothing is logged; see dmesg for why, then mount it rw',
    );
  }
  if (options.includes('nobarrier') || options.includes('barrier=0')) {
    findings.push(
      'barriers are off: what was acknowledged may be lost in a power cut; mount it without nobarrier',
    );
  }
  if (ON_NETWORK.test(kind)) {
    findings.push(
      `${kind} is a network file system: what it calls synced may not be on a disk, and it stalls with the network; use a local one`,
    );
  }
  return findings;
}

function mountAdvice({ kind, options }: MountFacts): string[] {
  const advice: string[] = [];
  if (kind === 'overlay') {
    advice.push(
      'overlay goes when its container is removed: mount a volume for the data folder, unless that is meant',
    );
  }
  if (WITHOUT_JOURNAL.has(kind)) {
    advice.push(
      `${kind} has no journal of its own: a power cut may damage the file system itself; ext4 or f2fs is meant for this`,
    );
  }
  if (options.includes('sync')) {
    advice.push(
      'the mount option sync writes every piece at once, which gatelog does not need: remove it, the card lasts longer',
    );
  }
  if (options.includes('strictatime')) {
    advice.push('strictatime writes for every file that is read: mount it with noatime');
  }
  return advice;
}

function card({ machine: { card: facts, device } }: MachineView): Section {
  const title = 'card';
  if (facts === undefined) {
    const why = 'unknown' in device ? device.unknown : 'the kernel does not tell';
    return { title, lines: [why], findings: [] };
  }
  const { disk, type, name, usedPercent, endOfLife } = facts;
  const what = [type, name].filter(Boolean).join(' ');
  const used =
    usedPercent === undefined
      ? 'it does not tell its wear to the kernel (SD cards never do; of an SSD or NVMe smartctl -a asks)'
      : usedPercent > 100
        ? 'it is beyond the life that it was made for'
        : `up to ${usedPercent} % of its life is used up`;
  const isOld = (usedPercent ?? 0) > 90 || (endOfLife ?? 0) >= 2;
  const last = endOfLife === 3 ? 'nearly all' : 'most';
  const spare = (endOfLife ?? 0) >= 2 ? `, and ${last} of its spare blocks are gone` : '';
  return {
    title,
    lines: [`${disk}${what === '' ? '' : ` (${what})`}: ${used}${spare}`],
    findings: isOld ? [`${disk} nears its end: replace it soon (docs: moving a card)`] : [],
  };
}

/** Below it garbage collection takes over, or the kernel ends the agent. */
const SCARCE_BYTES = 128 * MIB;

function memory({
  machine: { memoryBytes, memoryGroup, swaps, card: facts, settings: kernel },
}: MachineView): Section {
  const { maxBytes, highBytes, kills } = memoryGroup;
  const bounds = [
    ...(maxBytes === undefined ? [] : [`at most ${formatSize(maxBytes)} for its control group`]),
    ...(highBytes === undefined ? [] : [`slowed from ${formatSize(highBytes)} on`]),
  ];
  const findings =
    kills === 0
      ? []
      : [
          `the kernel ended ${counted(kills, 'process', 'processes')} of its control group for want of memory: raise MemoryMax, or lower mqtt.maxConnections and mqtt.sessions`,
        ];
  const advice: string[] = [];
  if (Math.min(maxBytes ?? Infinity, highBytes ?? Infinity, memoryBytes) < SCARCE_BYTES) {
    advice.push(`less than ${formatSize(SCARCE_BYTES)} is little for an agent under load`);
  }
  const onCard = swaps.filter(({ file }) => facts !== undefined && isOnFlash(facts.type, file));
  if (onCard.length > 0) {
    const swappiness = (kernel.swappiness ?? 60) > 10 ? ', until then vm.swappiness=10' : '';
    advice.push(
      `swap on the card (${onCard.map(({ file }) => file).join(', ')}) wears it faster than any log: use zram, or none${swappiness}`,
    );
  }
  return {
    title: 'memory',
    lines: [[formatSize(memoryBytes), ...bounds].join(', ')],
    findings,
    advice,
  };
}

/** A swap file lies on the card of a machine that has nothing else. */
function isOnFlash(type: string | undefined, file: string): boolean {
  return type !== undefined && (file.startsWith('/dev/mmcblk') || !file.startsWith('/dev/'));
}

/** Beside connections: segments, state, sockets to upstreams, what Node itself has. */
const OTHER_FILES = 512;
const USUAL_CONNECTIONS = 10_000;

function openFiles({ machine: facts, maxConnections }: MachineView): Section {
  const title = 'open files';
  const { openFiles: bound } = facts;
  if (typeof bound !== 'number') {
    const line = bound ?? 'not told: ask as the user that runs gatelog, or as root';
    return { title, lines: [line], findings: [] };
  }
  const wanted = (maxConnections ?? USUAL_CONNECTIONS) + OTHER_FILES;
  const room = Math.max(0, bound - OTHER_FILES);
  return {
    title,
    lines: [`at most ${bound}`],
    findings: [],
    advice:
      bound >= wanted
        ? []
        : [
            `enough for some ${room} connections: raise LimitNOFILE (in the unit; ulimit -n in a shell) to ${wanted}, or lower mqtt.maxConnections`,
          ],
  };
}

/** So much unwritten data of other programs stands in the way of a sync for seconds. */
const DIRTY_BYTES = 512 * MIB;

function settings({
  machine: { settings: kernel, card: facts, memoryBytes },
}: MachineView): Section {
  const { overcommitMemory, dirtyBytes = 0, dirtyRatio = 20 } = kernel;
  const dirty = dirtyBytes > 0 ? dirtyBytes : (memoryBytes * dirtyRatio) / 100;
  // Of other disks the kernel does not tell how slow they are.
  const isSlow = facts?.type !== undefined;
  const advice: string[] = [];
  if (isSlow && dirty > DIRTY_BYTES) {
    advice.push(
      `other programs may leave ${formatSize(dirty)} unwritten, which a sync on the same disk then waits for: sysctl vm.dirty_bytes=67108864 vm.dirty_background_bytes=16777216`,
    );
  }
  if (overcommitMemory === 2) {
    advice.push(
      'vm.overcommit_memory=2 counts what V8 only reserves: the agent may not start; 0 is the default',
    );
  }
  const word = advice.length === 0 ? 'nothing stands in the way' : 'see below';
  return { title: 'kernel', lines: [word], findings: [], advice };
}
