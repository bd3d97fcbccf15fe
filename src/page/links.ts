import type { MirrorStatus, TopicStatus } from '../mirror/status.ts';
import { Confirmation, MirrorActs } from './acts.ts';
import { make, part, setClass, setHidden, setItems, setText } from './dom.ts';
import { bytes, count, duration, moment, rate } from './format.ts';
import { KeyedTable } from './keyed-table.ts';
import type { Rates } from './rates.ts';
import { etaMs, isSilent } from './verdict.ts';

const LEVEL_OF: Readonly<Record<string, string>> = {
  live: 'good',
  'catching up': 'good',
  idle: 'good',
  connecting: 'watch',
  stalled: 'watch',
  'backing off': 'watch',
  paused: 'watch',
  'over budget': 'wait',
  'waiting for schedule': 'wait',
  metered: 'wait',
  refused: 'bad',
  halted: 'bad',
  stopped: 'bad',
};

interface Facts {
  readonly lag: HTMLElement;
  readonly age: HTMLElement;
  readonly eta: HTMLElement;
  readonly out: HTMLElement;
  readonly sent: HTMLElement;
  readonly reconnects: HTMLElement;
}

/** One mirror: its state since when and why, how far it is behind, and its topics. */
class LinkCard {
  readonly element: HTMLElement;
  readonly #state: HTMLElement = make('span', { class: 'pill' });
  readonly #since: HTMLElement = make('span', { class: 'since' });
  readonly #notes: HTMLElement = make('ul', { class: 'notes' });
  readonly #facts: Facts;
  readonly #topics: KeyedTable<TopicStatus>;
  readonly #acts: MirrorActs;

  constructor(name: string, confirmation: Confirmation) {
    this.#acts = new MirrorActs(name, confirmation);
    const list = make('dl', { class: 'facts' });
    const fact = (term: string): HTMLElement => {
      const value = make('dd');
      list.append(make('div', {}, make('dt', {}, term), value));
      return value;
    };
    this.#facts = {
      lag: fact('records behind'),
      age: fact('age of the oldest'),
      eta: fact('until caught up'),
      out: fact('going out'),
      sent: fact('sent since start'),
      reconnects: fact('reconnects'),
    };
    const table = make('table', { 'aria-label': `topics of ${name}` });
    this.#topics = new KeyedTable(table, TOPIC_COLUMNS, ({ topic }) => topic);
    const head = make('h3', {}, name, ' ', this.#state);
    const title = make('div', { class: 'card-head' }, head, this.#since, this.#acts.element);
    const scroll = make('div', { class: 'scroll' }, table);
    scroll.tabIndex = 0;
    scroll.setAttribute('role', 'group');
    scroll.setAttribute('aria-label', `topics of ${name}, table`);
    this.element = make('article', { class: 'card' }, title, this.#notes, list, scroll);
  }

  show(mirror: MirrorStatus, outPerSecond: number | undefined): void {
    setText(this.#state, mirror.state);
    setClass(this.#state, `pill ${LEVEL_OF[mirror.state] ?? 'watch'}`);
    setText(this.#since, `for ${duration(mirror.forMs)}`);
    this.#since.title = `since ${moment(mirror.sinceMs)}`;
    const notes = notesOf(mirror);
    setItems(this.#notes, notes);
    setHidden(this.#notes, notes.length === 0);
    setText(this.#facts.lag, count(mirror.lagRecords));
    setText(this.#facts.age, duration(mirror.lagMs));
    setText(this.#facts.eta, mirror.lagRecords === 0 ? 'caught up' : duration(etaMs(mirror)));
    setText(this.#facts.out, rate(outPerSecond));
    const sent = `${count(mirror.recordsSent)} · ${bytes(mirror.bytesSent)}`;
    setText(this.#facts.sent, sent);
    setText(this.#facts.reconnects, count(mirror.reconnects));
    this.#topics.show(mirror.topics);
    this.#acts.show(mirror);
  }
}

const TOPIC_COLUMNS = [
  { head: 'topic', text: ({ topic }: TopicStatus) => topic },
  {
    head: 'state',
    text: ({ state, reason }: TopicStatus) =>
      reason === undefined ? state : `${state}: ${reason}`,
    mark: ({ state, reason }: TopicStatus) =>
      [state === 'stopped' ? 'bad' : '', reason === undefined ? '' : 'long'].join(' ').trim(),
  },
  { head: 'class', text: ({ class: name }: TopicStatus) => name },
  { head: 'behind', text: ({ lagRecords }: TopicStatus) => count(lagRecords), isFigure: true },
  { head: 'age', text: ({ lagMs }: TopicStatus) => duration(lagMs), isFigure: true },
  {
    head: 'to go',
    text: ({ lagRecords, etaMs: eta }: TopicStatus) => (lagRecords === 0 ? '–' : duration(eta)),
    isFigure: true,
  },
] as const;

function notesOf(mirror: MirrorStatus): string[] {
  const { reason, slowness, lastError, nextTryMs, link, pendingSeeks, pendingSkips, rejections } =
    mirror;
  const notes: string[] = [];
  if (reason !== undefined) notes.push(reason);
  else if (lastError !== undefined && mirror.state !== 'live' && mirror.state !== 'catching up') {
    notes.push(`${lastError.text} (${moment(lastError.atMs)})`);
  }
  if (isSilent(mirror) && mirror.state !== 'stalled') {
    notes.push(`no answer for ${duration(mirror.unansweredMs)} to what was sent`);
  }
  if (slowness !== undefined) notes.push(slowness);
  if (nextTryMs !== undefined) notes.push(`next: ${moment(nextTryMs)}`);
  for (const hold of link?.holds ?? []) notes.push(`${hold.classes.join(', ')}: ${hold.reason}`);
  for (const { per, bytes: cap, usedBytes } of link?.budgets ?? []) {
    notes.push(`budget of the ${per}: ${bytes(usedBytes)} of ${bytes(cap)} used`);
  }
  for (const one of rejections)
    notes.push(`${count(one.records)} not taken from ${one.topic}: ${one.reason}`);
  const asked = pendingSeeks.length + pendingSkips.length;
  if (asked > 0) notes.push(`${asked} asked for by a person, done when the link stands`);
  return notes;
}

/** The mirrors, a card each. */
export class Links {
  readonly #cards = new Map<string, LinkCard>();
  readonly #none = part('no-links');
  readonly #place = part('link-cards');
  readonly #confirmation = new Confirmation();

  show(mirrors: readonly MirrorStatus[], rates: Rates): void {
    setHidden(this.#none, mirrors.length > 0);
    const names = new Set(mirrors.map(({ name }) => name));
    for (const [name, card] of this.#cards) {
      if (names.has(name)) continue;
      card.element.remove();
      this.#cards.delete(name);
    }
    for (const mirror of mirrors) {
      const card = this.#cards.get(mirror.name) ?? new LinkCard(mirror.name, this.#confirmation);
      if (!this.#cards.has(mirror.name)) {
        this.#cards.set(mirror.name, card);
        this.#place.append(card.element);
      }
      card.show(mirror, rates.recordsOut.get(mirror.name));
    }
  }
}
