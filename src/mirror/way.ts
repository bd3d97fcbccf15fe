import { lookup } from 'node:dns/promises';
import { connect as netConnect, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as tlsConnect, TLSSocket } from 'node:tls';
import { messageOf } from '../errors.ts';
import { LISTEN_LIMITS } from '../listen-limits.ts';
import { type Clock, isoTime, parseIsoTime } from '../time.ts';
import { formatDuration } from '../units.ts';
import { causesOf, connectTrouble } from './connect-trouble.ts';
import { SocketWatch } from './socket-watch.ts';

/**
 * The way to a far side, walked step by step for a person who wants to know how far it goes: the name,
 * the connection, TLS; what comes behind is the far side's own kind (kafka/way.ts, mqtt/way.ts). It
 * changes nothing there.
 */
export interface WayStep {
  readonly name: string;
  /** `doubtful`: records go all the same, and a person should look. */
  readonly state: 'good' | 'doubtful' | 'failed';
  /** What was found; where it is not good, what to do about it. */
  readonly text: string;
}

export interface Reach {
  readonly host: string;
  readonly port: number;
  /** As in `Kafka at kafka-1:9092`. */
  readonly where: string;
  readonly protocol: string;
  /** Without it nothing is said of TLS. */
  readonly tls: ConnectionOptions | undefined;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** Name, connection and TLS; ends with the first that fails. */
export async function reach(target: Reach): Promise<WayStep[]> {
  const steps: WayStep[] = [];
  for (const ask of [named, connected, secured]) {
    const step = await ask(target);
    if (step === undefined) continue;
    steps.push(step);
    if (step.state === 'failed') break;
  }
  return steps;
}

export function hasFailed(steps: readonly WayStep[]): boolean {
  return steps.some(({ state }) => state === 'failed');
}

async function named(target: Reach): Promise<WayStep | undefined> {
  const { host, clock, timeoutMs } = target;
  if (isIP(host) !== 0) return undefined;
  const name = 'name';
  const begunMs = clock.monotonicMs();
  const ended = new AbortController();
  try {
    const found = await Promise.race([
      lookup(host, { all: true }),
      clock.sleep(timeoutMs, ended.signal).then(() => undefined),
    ]);
    if (found === undefined) {
      const text = `the name '${host}' was not resolved within ${formatDuration(timeoutMs)}: the DNS that this machine asks does not answer (/etc/resolv.conf)`;
      return { name, state: 'failed', text };
    }
    const addresses = [...new Set(found.map(({ address }) => address))].join(', ');
    return { name, state: 'good', text: `${host} is ${addresses} (${since(clock, begunMs)})` };
  } catch (error) {
    return { name, state: 'failed', text: troubleText(error, target, undefined) };
  } finally {
    ended.abort();
  }
}

async function connected(target: Reach): Promise<WayStep> {
  const { host, port, clock } = target;
  const name = 'connection';
  const begunMs = clock.monotonicMs();
  const socket = netConnect({ host, port });
  const watch = new SocketWatch(socket, () => undefined);
  try {
    await standing(socket, 'connect', target);
    const text = `${where(target)} takes connections (${since(clock, begunMs)})`;
    return { name, state: 'good', text };
  } catch (error) {
    return { name, state: 'failed', text: troubleText(error, target, watch) };
  } finally {
    socket.destroy();
  }
}

async function secured(target: Reach): Promise<WayStep | undefined> {
  const { host, port, tls, clock } = target;
  if (tls === undefined) return undefined;
  const name = 'TLS';
  const servername = isIP(host) === 0 ? { servername: host } : {};
  const socket = tlsConnect({ host, port, ...servername, ...tls });
  const watch = new SocketWatch(socket, () => undefined);
  try {
    await standing(socket, 'secureConnect', target);
    return certificateStep(target, socket, watch, clock.nowMs());
  } catch (error) {
    return { name, state: 'failed', text: troubleText(error, target, watch) };
  } finally {
    socket.destroy();
  }
}

function certificateStep(
  target: Reach,
  socket: TLSSocket,
  { certificate }: SocketWatch,
  nowMs: number,
): WayStep {
  const name = 'TLS';
  const head = `${where(target)}: ${socket.getProtocol() ?? 'TLS'}`;
  const untilMs = certificate === undefined ? undefined : parseIsoTime(certificate.validTo);
  if (untilMs === undefined) return { name, state: 'good', text: head };
  const isNear = untilMs - nowMs < LISTEN_LIMITS.certificateWarnMs;
  const until = `its certificate is good until ${isoTime(untilMs)}`;
  const text = `${head}, ${until}${isNear ? ': renew it, or nothing is sent any more' : ''}`;
  return { name, state: isNear ? 'doubtful' : 'good', text };
}

/** Rejects with the socket's error, or one that says that it timed out. */
function standing(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  { clock, timeoutMs }: Reach,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(timeoutMs, () => reject(new Error('timed out')));
    // Stays: an error that nobody listens to would end the process.
    socket.on('error', (error) => {
      timer.cancel();
      reject(error);
    });
    socket.once('close', () => reject(new Error('the connection was closed')));
    socket.once(event, () => {
      timer.cancel();
      resolve();
    });
  });
}

function troubleText(error: unknown, target: Reach, watch: SocketWatch | undefined): string {
  const { host, protocol, tls, timeoutMs, clock } = target;
  const nowMs = clock.nowMs();
  const trouble = connectTrouble([...causesOf(error)], {
    where: target.where,
    host,
    protocol,
    secure: tls !== undefined,
    timeoutMs,
    watch,
    clock: { wallMs: nowMs, bestMs: nowMs, isSound: true },
  });
  if (trouble !== undefined) return trouble.text;
  const refused = [...causesOf(error)].map((cause) => messageOf(cause)).join('; ');
  const hint = /ECONNREFUSED/u.test(refused)
    ? ': nothing listens there; check host and port, and whether the far side runs'
    : '';
  return `${target.where} can't be reached (${messageOf(error)})${hint}`;
}

function where({ host, port }: Reach): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function since(clock: Clock, begunMs: number): string {
  return formatDuration(clock.monotonicMs() - begunMs);
}
