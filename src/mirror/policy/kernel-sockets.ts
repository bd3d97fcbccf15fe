import { execFile } from 'node:child_process';
import { systemCodeOf } from '../../errors.ts';
import { LINK_LIMITS } from '../../link-limits.ts';

/** What the kernel has counted of one connection, as bytes of IP packets with all their headers. */
export interface KernelCount {
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

/** By `localPort:remotePort`; undefined: nobody here can say. MUST NOT reject. */
export type AskKernel = (localPorts: readonly number[]) => Promise<KernelCounts | undefined>;
export type KernelCounts = ReadonlyMap<string, KernelCount>;

const IPV4_HEAD = 20;
const IPV6_HEAD = 40;
const TCP_HEAD = 20;
/** RFC 7323, padded: in every segment but the first, once both sides agreed. */
const TIMESTAMP_OPTION = 12;
/** What the options of a SYN take beyond those: MSS, SACK, window scale. */
const SYN_EXTRA = 8;

/**
 * Asks `ss` (iproute2), which reads the kernel's TCP_INFO: Node gives no way to it. Once it is missing
 * it is not asked again.
 */
export function kernelSockets(): AskKernel {
  let isMissing = false;
  return async (localPorts) => {
    if (isMissing || localPorts.length === 0) return undefined;
    const filter = localPorts.map((port) => `sport = :${port}`).join(' or ');
    const { kernelAskTimeoutMs: timeout, probeOutputBytes: maxBuffer } = LINK_LIMITS;
    return new Promise((resolve) => {
      execFile('ss', ['-tineH', `( ${filter} )`], { timeout, maxBuffer }, (error, stdout) => {
        if (error === null) resolve(readSockets(stdout));
        else {
          isMissing = systemCodeOf(error) === 'ENOENT';
          resolve(undefined);
        }
      });
    });
  };
}

/** Of `ss -tineH`: a line for each connection, and one behind it with its figures. */
export function readSockets(output: string): KernelCounts {
  const counts = new Map<string, KernelCount>();
  for (const entry of output.split(/\n(?!\s)/u)) {
    const [, , , local = '', remote = '', ...info] = entry.trim().split(/\s+/u);
    const ports = [local, remote].map((end) => end.slice(end.lastIndexOf(':') + 1));
    const figures = new Map(info.map((word) => [word.split(':')[0] ?? '', word.split(':')[1]]));
    const of = (name: string): number => Number(figures.get(name) ?? 0);
    const [segmentsSent, segmentsReceived] = [of('segs_out'), of('segs_in')];
    if (segmentsSent === 0) continue;
    const isV6 = local.startsWith('[') && !/^\[::ffff:\d/u.test(local);
    // Stands among the words without a figure, where `-e` asks for details.
    const options = info.includes('ts') ? TIMESTAMP_OPTION : 0;
    const head = (isV6 ? IPV6_HEAD : IPV4_HEAD) + TCP_HEAD + options;
    counts.set(ports.join(':'), {
      sentBytes: of('bytes_sent') + segmentsSent * head + SYN_EXTRA,
      receivedBytes:
        segmentsReceived === 0 ? 0 : of('bytes_received') + segmentsReceived * head + SYN_EXTRA,
    });
  }
  return counts;
}
