import type { AgentStatus } from '../admin/status.ts';
import type { GapJson } from '../loss.ts';
import { ask, Refusal } from './api.ts';
import { part, setHidden, setItems, setText } from './dom.ts';
import { count, counted, shortMoment } from './format.ts';
import { KeyedTable } from './keyed-table.ts';

const SHOWN = 100;

/** The loss ledger: totals as they come, its entries when they are asked for. */
export class Losses {
  readonly #table = new KeyedTable<GapJson>(part('gaps'), GAP_COLUMNS, (gap) =>
    JSON.stringify(gap),
  );
  #total = 0;

  constructor() {
    part('gaps-show').addEventListener('click', () => void this.#load());
  }

  show(store: AgentStatus['store']): void {
    const losses = Object.entries(store?.losses ?? {}).filter(([, { records }]) => records > 0);
    const total = losses.reduce((sum, [, { records }]) => sum + records, 0);
    const texts = losses.map(([reason, { records }]) => `${counted(records, 'record')}: ${reason}`);
    setItems(part('loss-totals'), texts);
    setHidden(part('no-losses'), total > 0);
    setHidden(part('gaps-show'), total === 0);
    if (total !== this.#total && !part('gaps-scroll').hidden) void this.#load();
    this.#total = total;
  }

  async #load(): Promise<void> {
    const note = part('gaps-note');
    try {
      const lines = (await (await ask('/api/v1/gaps')).text()).trim().split('\n').filter(Boolean);
      const gaps = lines.slice(-SHOWN).map((line) => JSON.parse(line) as GapJson);
      this.#table.show(gaps.toReversed());
      setHidden(part('gaps-scroll'), false);
      const all = `the latest ${SHOWN} of ${count(lines.length)}; gatelog gaps lists all`;
      setText(note, lines.length > SHOWN ? all : '');
    } catch (error) {
      setText(note, error instanceof Refusal ? error.message : 'the agent can not be reached');
    }
  }
}

const GAP_COLUMNS = [
  { head: 'when', text: ({ to }: GapJson) => shortMoment(to) },
  {
    head: 'where',
    text: ({ topic, partition }: GapJson) => (partition === null ? topic : `${topic}/${partition}`),
  },
  {
    head: 'offsets',
    text: ({ firstOffset, lastOffset }: GapJson) =>
      firstOffset === null ? '–' : `${count(firstOffset)} to ${count(lastOffset)}`,
    isFigure: true,
  },
  { head: 'records', text: ({ records }: GapJson) => count(records), isFigure: true },
  { head: 'reason', text: ({ reason }: GapJson) => reason },
  { head: 'for', text: ({ mirror }: GapJson) => mirror ?? 'everybody' },
  { head: 'detail', text: ({ detail }: GapJson) => detail, mark: () => 'long' },
] as const;
