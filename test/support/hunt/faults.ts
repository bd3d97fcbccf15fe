import type { Random } from '../../../src/random.ts';

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
  | 'InitProducerId';

export type Fault =
  | { readonly kind: 'agent-kill' }
  | { readonly kind: 'broker-kill'; readonly broker: number; readonly downMs: number }
  | { readonly kind: 'broker-stop'; readonly broker: number; readonly downMs: number }
  /** New connections are refused and those there are reset, for a while. */
  | { readonly kind: 'link-refuse'; readonly brokers: readonly number[]; readonly downMs: number }
  | { readonly kind: 'link-reset'; readonly brokers: readonly number[] }
  /** Bytes vanish both ways, nothing is closed. */
  | { readonly kind: 'link-silent'; readonly brokers: readonly number[]; readonly downMs: number }
  /** The broker gets the next request of this kind; its response never arrives. */
  | { readonly kind: 'cut-response'; readonly api: CutApi; readonly how: 'reset' | 'silent' }
  /** The request itself never arrives. */
  | { readonly kind: 'cut-request'; readonly api: CutApi; readonly how: 'reset' | 'silent' };

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

function brokerFault(random: Random, kind: 'kill' | 'stop'): Fault {
  const broker = one(random, BROKERS);
  if (kind === 'kill') return { kind: 'broker-kill', broker, downMs: between(random, 200, 3000) };
  // Now and then longer than the broker's session (9 s), so that it is fenced and comes back.
  const downMs = random.next() < 0.2 ? 11_000 : between(random, 500, 6000);
  return { kind: 'broker-stop', broker, downMs };
}

type LinkCard = 'refuse' | 'reset' | 'silent' | 'cut-response' | 'cut-request';

function linkFault(random: Random, card: LinkCard, api: CutApi): Fault {
  const brokers = random.next() < 0.5 ? BROKERS : [one(random, BROKERS)];
  const how = random.next() < 0.7 ? 'reset' : 'silent';
  switch (card) {
    case 'refuse':
      return { kind: 'link-refuse', brokers, downMs: between(random, 300, 3000) };
    case 'reset':
      return { kind: 'link-reset', brokers };
    case 'silent':
      return { kind: 'link-silent', brokers, downMs: between(random, 1000, 7000) };
    case 'cut-response':
      return { kind: 'cut-response', api, how };
    case 'cut-request':
      return { kind: 'cut-request', api, how };
  }
}

/** `count` faults: a quarter each for agent and brokers, the rest for the links. */
export function planFaults(random: Random, count: number): readonly PlannedFault[] {
  const agents = Math.floor(count / 4);
  const brokers = Math.floor(count / 4);
  const links = count - agents - brokers;
  const plan: PlannedFault[] = [];
  for (let index = 0; index < agents; index++) {
    plan.push({
      lane: 'agent',
      afterMs: between(random, 3000, 16_000),
      fault: { kind: 'agent-kill' },
    });
  }
  for (const kind of deal<'kill' | 'stop'>(random, ['kill', 'stop', 'stop'], brokers)) {
    const afterMs = between(random, 1000, 6000);
    plan.push({ lane: 'broker', afterMs, fault: brokerFault(random, kind) });
  }
  const deck: readonly LinkCard[] = [
    'refuse',
    'reset',
    'silent',
    'cut-request',
    'cut-response',
    'cut-response',
    'cut-response',
    'cut-response',
  ];
  const apis = deal(random, APIS, links);
  for (const [index, card] of deal(random, deck, links).entries()) {
    const fault = linkFault(random, card, apis[index] ?? 'Produce');
    plan.push({ lane: 'link', afterMs: between(random, 500, 5000), fault });
  }
  return plan;
}

export function describeFault(fault: Fault): string {
  switch (fault.kind) {
    case 'agent-kill':
      return 'agent-kill';
    case 'broker-kill':
    case 'broker-stop':
      return `${fault.kind} ${fault.broker} for ${fault.downMs} ms`;
    case 'link-reset':
      return `link-reset ${fault.brokers.join(',')}`;
    case 'link-refuse':
    case 'link-silent':
      return `${fault.kind} ${fault.brokers.join(',')} for ${fault.downMs} ms`;
    case 'cut-response':
    case 'cut-request':
      return `${fault.kind} ${fault.api} ${fault.how}`;
  }
}

/** The row of the table of faults. */
export function kindOf(fault: Fault): string {
  return fault.kind.startsWith('cut-') && 'api' in fault
    ? `${fault.kind} ${fault.api}`
    : fault.kind;
}
