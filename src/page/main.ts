import type { AgentStatus } from '../admin/status.ts';
import { keepToken, token } from './api.ts';
import { Charts } from './charts.ts';
import { Clients } from './clients.ts';
import { part, setClass, setHidden, setItems, setText } from './dom.ts';
import { Feed } from './feed.ts';
import { count, counted, duration, rate } from './format.ts';
import { Happenings } from './happenings.ts';
import { Links } from './links.ts';
import { Losses } from './losses.ts';
import { RateMeter } from './rates.ts';
import { Stored } from './stored.ts';
import { startTheme } from './theme.ts';
import { verdictOf, wallClockOf } from './verdict.ts';

/** Longer than a status takes to come: then what is shown is old, and said to be. */
const OLD_MS = 3500;

class Page {
  readonly #rates = new RateMeter();
  readonly #links = new Links();
  readonly #stored = new Stored();
  readonly #losses = new Losses();
  readonly #clients = new Clients();
  readonly #happenings = new Happenings();
  readonly #charts = new Charts();
  readonly #feed: Feed;
  #newsAtMs: number | undefined;
  #trouble = 'connecting';
  #locked = false;
  #isNew = true;
  /** What the agent said of the token that was had before. */
  #wrong: string | undefined;

  constructor() {
    this.#feed = new Feed({
      status: (status) => this.#show(status),
      event: (event) => this.#happenings.add(event),
      lost: (reason) => {
        this.#trouble = reason;
        this.#showNews();
      },
      locked: (reason) => this.#lock(reason),
    });
    startTheme(() => this.#charts.redraw());
    part('unlock-form').addEventListener('submit', (event) => {
      event.preventDefault();
      keepToken((part('unlock-token') as HTMLInputElement).value.trim());
      this.#begin();
    });
    setInterval(() => this.#showNews(), 1000);
  }

  start(): void {
    this.#begin();
  }

  #begin(): void {
    this.#locked = false;
    setHidden(part('unlock'), true);
    this.#isNew = true;
    this.#feed.begin();
  }

  /** One refused request says that a token is wanted: nothing else is asked before the first answer. */
  #look(): void {
    if (!this.#isNew) return;
    this.#isNew = false;
    void this.#charts.look();
    void this.#clients.look();
    // What a link leads to is asked without the token.
    setHidden(part('raw'), token() !== '');
  }

  #lock(reason: string): void {
    if (token() !== '') {
      // Of another time, or mistyped: perhaps the agent wants none, or it says that it wants one.
      keepToken('');
      this.#wrong = reason;
      this.#feed.begin();
      return;
    }
    this.#locked = true;
    this.#trouble = this.#wrong ?? 'a token is wanted';
    setText(part('unlock-reason'), this.#wrong ?? reason);
    this.#wrong = undefined;
    setHidden(part('unlock'), false);
    setHidden(part('raw'), true);
    (part('unlock-token') as HTMLInputElement).focus();
    this.#showNews();
  }

  #show(status: AgentStatus): void {
    this.#newsAtMs = performance.now();
    this.#look();
    const rates = this.#rates.take(status);
    setHidden(part('body'), false);
    setText(part('gateway'), status.gateway);
    setText(part('version'), `gatelog ${status.version}`);
    setText(part('up'), `up ${duration(status.uptimeMs)}`);
    document.title = `${status.gateway} · gatelog`;
    const verdict = verdictOf(status, wallClockOf(status));
    setText(part('verdict'), verdict.sentence);
    setClass(part('state'), `state ${verdict.level}`);
    setItems(part('points'), verdict.points);
    setHidden(part('points'), verdict.points.length === 0);
    const out = [...rates.recordsOut.values()].reduce((sum, one) => sum + one, 0);
    setText(part('rate-in'), rate(rates.recordsIn));
    setText(part('rate-out'), rate(status.mirrors.length === 0 ? null : out));
    const [lag, age] = greatestLag(status);
    setText(part('lag'), count(lag));
    setText(part('lag-age'), age);
    setText(
      part('acks'),
      status.ingest === null ? '–' : counted(status.ingest.received, 'message'),
    );
    this.#links.show(status.mirrors, rates);
    this.#stored.show(status);
    this.#losses.show(status.store);
    this.#clients.show(status);
    setItems(part('listeners'), status.listeners);
    this.#showNews();
  }

  /** What is shown is only as good as it is new. */
  #showNews(): void {
    const badge = part('news');
    const sinceMs = this.#newsAtMs === undefined ? undefined : performance.now() - this.#newsAtMs;
    if (sinceMs !== undefined && sinceMs < OLD_MS && !this.#locked) {
      setText(badge, 'live');
      setClass(badge, 'news good');
      setClass(part('body'), '');
      return;
    }
    const since = sinceMs === undefined ? '' : `no news for ${duration(sinceMs)}: `;
    setText(badge, `${since}${this.#trouble}`);
    setClass(badge, 'news bad');
    setClass(part('body'), 'old');
  }
}

function greatestLag({ mirrors }: AgentStatus): [number | null, string] {
  const [worst] = mirrors.toSorted((left, right) => right.lagRecords - left.lagRecords);
  if (worst === undefined) return [null, 'nothing is mirrored'];
  if (worst.lagRecords === 0) return [0, counted(mirrors.length, 'mirror')];
  return [worst.lagRecords, `${worst.name}, the oldest ${duration(worst.lagMs)} old`];
}

new Page().start();
