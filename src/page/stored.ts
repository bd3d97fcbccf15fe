import type { AgentStatus, TopicStatus } from '../admin/status.ts';
import { make, part, setClass, setText } from './dom.ts';
import { bytes, count, duration, setBytes } from './format.ts';
import { KeyedTable } from './keyed-table.ts';
import { writtenText, yearsText } from './wear.ts';

/** What stands in the log, and on what: topics, disk, card, clock. */
export class Stored {
  readonly #topics = new KeyedTable<TopicStatus>(part('topics'), TOPIC_COLUMNS, ({ name }) => name);
  readonly #steps = new Map<string, HTMLElement>();

  constructor() {
    const ladder = part('ladder');
    for (const [step, text] of STEPS) {
      const item = make('li', {}, text);
      this.#steps.set(step, item);
      ladder.append(item);
    }
  }

  show({ topics, store, wear, clock }: AgentStatus): void {
    this.#topics.show(topics);
    this.#showLadder(store?.disk.step);
    setText(part('disk-free'), freeText(store));
    setText(part('disk-log'), bytes(store?.diskBytes));
    setText(part('disk-room'), bytes(store?.disk.roomBytes));
    setText(part('wear-day'), writtenText(wear));
    setText(part('wear-years'), yearsText(wear));
    setText(
      part('wear-commits'),
      `${count(wear?.commitsPerSecond)}/s, ${count(wear?.syncsPerSecond)} syncs/s`,
    );
    const trust = clock === null ? '–' : `${clock.state} for ${duration(clock.forMs)}`;
    setText(part('clock-trust'), trust);
    setText(part('clock-why'), clock?.why ?? sourceText(clock));
  }

  #showLadder(now: string | undefined): void {
    const at = STEPS.findIndex(([step]) => step === now);
    for (const [index, [step]] of STEPS.entries()) {
      const item = this.#steps.get(step);
      if (item === undefined) continue;
      setClass(item, index === at ? `here ${LEVELS[index] ?? 'bad'}` : index < at ? 'passed' : '');
      if (index === at) item.setAttribute('aria-current', 'step');
      else item.removeAttribute('aria-current');
    }
  }
}

const STEPS = [
  ['ok', 'room'],
  ['warn', 'filling'],
  ['drop-mirrored', 'removes what mirrors have'],
  ['drop-unmirrored', 'gives records up'],
  ['refuse', 'refuses'],
] as const;
const LEVELS = ['good', 'watch', 'watch', 'bad', 'bad'] as const;

function freeText(store: AgentStatus['store']): string {
  if (store === null) return '–';
  const { freeBytes, totalBytes, folderBytes, maxBytes } = store.disk;
  const free = `${bytes(freeBytes)} of ${bytes(totalBytes)}`;
  return maxBytes === null
    ? free
    : `${free}; ${bytes(folderBytes)} of at most ${bytes(maxBytes)} used`;
}

function sourceText(clock: AgentStatus['clock']): string {
  if (clock === null) return '';
  return clock.source === null ? 'nobody says whether it is right' : `confirmed by ${clock.source}`;
}

const TOPIC_COLUMNS = [
  { head: 'topic', text: ({ name }: TopicStatus) => name },
  { head: 'records', text: ({ records }: TopicStatus) => count(records), isFigure: true },
  { head: 'on disk', text: ({ bytes: size }: TopicStatus) => bytes(size), isFigure: true },
  {
    head: 'partitions',
    text: ({ partitions }: TopicStatus) => count(partitions.length),
    isFigure: true,
  },
  {
    head: 'offsets',
    text: ({ partitions }: TopicStatus) => offsetsText(partitions),
    isFigure: true,
  },
  { head: 'kept', text: keptText },
  { head: 'durability', text: ({ durability }: TopicStatus) => durability },
  {
    head: 'when full',
    text: ({ onFull, priority }: TopicStatus) => `${onFull}, priority ${priority}`,
  },
] as const;

function offsetsText(partitions: TopicStatus['partitions']): string {
  const [only] = partitions;
  if (only === undefined) return '–';
  if (partitions.length === 1) return `${count(only.startOffset)} to ${count(only.endOffset)}`;
  return `up to ${count(Math.max(...partitions.map(({ endOffset }) => endOffset)))}`;
}

function keptText({ retentionMs, retentionBytes }: TopicStatus): string {
  const bounds = [
    ...(retentionMs === null ? [] : [duration(retentionMs)]),
    ...(retentionBytes === null ? [] : [setBytes(retentionBytes)]),
  ];
  return bounds.length === 0 ? 'for ever' : bounds.join(', ');
}
