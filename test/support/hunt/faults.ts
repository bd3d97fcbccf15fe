import type { Random } from '../../../src/random.ts';
import type { CutPoint } from '../kafka/requests.ts';

/**
 * The plan of an exactly-once hunt: pure, from a seed. Three lanes run side by side, so that an
 * agent dies while a broker is down while a link lies silent; within a lane one fault ends before
 * the next begins, which keeps two brokers from being down at once (min.insync.replicas is 2).
 */
export type CutApi =
  | 'Produce'
  | 'TxnOffsetCommit'
  | 'EndTxn'
  | 'AddPartitionsToTxn'
  | 'AddOffsetsToTxn'
  | 'InitProducerId';

export type Fault =
  | { readonly kind: 'agent-kill' }
  /** Killed, and its disk keeps what was synced and by chance some of the rest. */
  | { readonly kind: 'power-cut' }
  /** SIGSTOP, then SIGCONT: as a machine that sleeps, now and then past its own transaction. */
  | { readonly kind: 'agent-stop'; readonly downMs: number }
  | { readonly kind: 'broker-kill'; readonly broker: number; readonly downMs: number }
  | { readonly kind: 'broker-stop'; readonly broker: number; readonly downMs: number }
  /** New connections are refused and those there are reset, for a while. */
  | { readonly kind: 'link-refuse'; readonly brokers: readonly number[]; readonly downMs: number }
  | { readonly kind: 'link-reset'; readonly brokers: readonly number[] }
  /** Nothing passes, nothing is closed; afterwards what was under way arrives, late. */
  | { readonly kind: 'link-silent'; readonly brokers: readonly number[]; readonly downMs: number }
  /** The broker's side is gone and the gateway never hears of it. */
  | { readonly kind: 'link-half-open'; readonly brokers: readonly number[] }
  /** The next request of this kind, or its response, does not arrive. */
  | { readonly kind: 'cut'; readonly api: CutApi; readonly point: CutPoint };

export type Lane = 'agent' | 'broker' | 'link';

export interface PlannedFault {
  readonly lane: Lane;
  /** Pause before it, counted from the end of the one before in the same lane. */
  readonly afterMs: number;
  readonly fault: Fault;
}

export const BROKERS: readonly number[] = [1, 2, 3];

const APIS: readonly CutApi[] = [
  'Produce',
  'TxnOffsetCommit',
  'EndTxn',
  'Produce',
  'EndTxn',
  'AddPartitionsToTxn',
  'TxnOffsetCommit',
  'InitProducerId',
  'AddOffsetsToTxn',
];

function between(random: Random, low: number, high: number): number {
  return Math.round(low + random.next() * (high - low));
}

function one<T>(random: Random, items: readonly T[]): T {
  const item = items[Math.floor(random.next() * items.length)];
  if (item === undefined) throw new Error('nothing to choose from');
  return item;
}

/** A random order of `count` items in which every item of the deck comes equally often (±1). */
function deal<T>(random: Random, deck: readonly T[], count: number): T[] {
  const dealt: T[] = [];
  while (dealt.length < count) {
    const round = [...deck];
    for (let at = round.length - 1; at > 0; at--) {
      const other = Math.floor(random.next() * (at + 1));
      [round[at], round[other]] = [round[other] as T, round[at] as T];
    }
    dealt.push(...round);
  }
  return dealt.slice(0, count);
}

function agentFault(random: Random, kind: 'kill' | 'stop'): Fault {
  if (kind === 'kill') return { kind: 'agent-kill' };
  const downMs = random.next() < 0.4 ? 13_000 : between(random, 500, 6000);
  return { kind: 'agent-stop', downMs };
}

function brokerFault(random: Random, kind: 'kill' | 'stop'): Fault {
  const broker = one(random, BROKERS);
  if (kind === 'kill') return { kind: 'broker-kill', broker, downMs: between(random, 200, 3000) };
  // Now and then longer than the broker's session (9 s), so that it is fenced and comes back.
  const downMs = random.next() < 0.2 ? 11_000 : between(random, 500, 6000);
  return { kind: 'broker-stop', broker, downMs };
}

type LinkCard = 'refuse' | 'reset' | 'silent' | 'half-open' | 'request' | 'middle' | 'response';

/** A link is most dangerous between a request and its response. */
const DECK: readonly LinkCard[] = [
  'refuse',
  'reset',
  'silent',
  'half-open',
  'request',
  'middle',
  'response',
  'response',
  'response',
  'response',
];

function linkFault(random: Random, card: LinkCard, api: CutApi): Fault {
  const brokers = random.next() < 0.5 ? BROKERS : [one(random, BROKERS)];
  const how = random.next() < 0.7 ? 'reset' : 'silent';
  switch (card) {
    case 'refuse':
      return { kind: 'link-refuse', brokers, downMs: between(random, 300, 3000) };
    case 'reset':
      return { kind: 'link-reset', brokers };
    case 'half-open':
      return { kind: 'link-half-open', brokers };
    case 'silent':
      return { kind: 'link-silent', brokers, downMs: between(random, 1000, 7000) };
    case 'request':
    case 'middle':
    case 'response':
      return { kind: 'cut', api, point: { where: card, how } };
  }
}

/** `count` faults: a quarter each for agent and brokers, the rest for the links. */
export function planFaults(random: Random, count: number): readonly PlannedFault[] {
  const agents = Math.floor(count / 4);
  const brokers = Math.floor(count / 4);
  const links = count - agents - brokers;
  const plan: PlannedFault[] = [];
  for (const kind of deal<'kill' | 'stop'>(random, ['kill', 'kill', 'kill', 'stop'], agents)) {
    const afterMs = between(random, 3000, 16_000);
    plan.push({ lane: 'agent', afterMs, fault: agentFault(random, kind) });
  }
  for (const kind of deal<'kill' | 'stop'>(random, ['kill', 'stop', 'stop'], brokers)) {
    const afterMs = between(random, 1000, 6000);
    plan.push({ lane: 'broker', afterMs, fault: brokerFault(random, kind) });
  }
  const apis = deal(random, APIS, links);
  for (const [index, card] of deal(random, DECK, links).entries()) {
    const fault = linkFault(random, card, apis[index] ?? 'Produce');
    plan.push({ lane: 'link', afterMs: between(random, 500, 5000), fault });
  }
  return plan;
}

/** Power cuts only; now and then one comes while the agent still recovers from the one before. */
export function planPowerCuts(random: Random, count: number): readonly PlannedFault[] {
  return Array.from({ length: count }, () => {
    const afterMs = random.next() < 0.25 ? between(random, 200, 1200) : between(random, 1500, 6000);
    return { lane: 'agent', afterMs, fault: { kind: 'power-cut' } };
  });
}

/** What a device must not notice: kills and power cuts of the gateway, and as many faults of its links. */
export function planDeviceFaults(random: Random, count: number): readonly PlannedFault[] {
  const agents = Math.ceil(count / 2);
  const plan: PlannedFault[] = deal<'agent-kill' | 'power-cut'>(
    random,
    ['agent-kill', 'power-cut', 'power-cut'],
    agents,
  ).map((kind) => ({ lane: 'agent', afterMs: between(random, 1500, 6000), fault: { kind } }));
  const links = count - agents;
  const apis = deal(random, APIS, links);
  for (const [index, card] of deal(random, DECK, links).entries()) {
    const fault = linkFault(random, card, apis[index] ?? 'Produce');
    plan.push({ lane: 'link', afterMs: between(random, 500, 4000), fault });
  }
  return plan;
}

export function describeFault(fault: Fault): string {
  switch (fault.kind) {
    case 'agent-kill':
    case 'power-cut':
      return fault.kind;
    case 'agent-stop':
      return `agent-stop for ${fault.downMs} ms`;
    case 'broker-kill':
    case 'broker-stop':
      return `${fault.kind} ${fault.broker} for ${fault.downMs} ms`;
    case 'link-reset':
    case 'link-half-open':
      return `${fault.kind} ${fault.brokers.join(',')}`;
    case 'link-refuse':
    case 'link-silent':
      return `${fault.kind} ${fault.brokers.join(',')} for ${fault.downMs} ms`;
    case 'cut':
      return `cut ${fault.point.where} of ${fault.api}, ${fault.point.how}`;
  }
}

/** The row of the table of faults. */
export function kindOf(fault: Fault): string {
  return fault.kind === 'cut' ? `cut ${fault.point.where} of ${fault.api}` : fault.kind;
}
