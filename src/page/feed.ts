import type { AgentEvent } from '../admin/event-book.ts';
import type { AgentStatus } from '../admin/status.ts';
import { ask, Refusal } from './api.ts';

export interface FeedHearer {
  status(status: AgentStatus): void;
  event(event: AgentEvent): void;
  /** The stream broke off; it is begun again by itself. */
  lost(reason: string): void;
  /** The agent wants a token, or another one: nothing comes until `begin` is called again. */
  locked(reason: string): void;
}

const AGAIN_MS = 1000;
/** A status comes each second; a connection over which none comes is none. */
const SILENT_MS = 6000;

/**
 * Server-sent events from the agent. Read by fetch, for an EventSource can't send a token.
 */
export class Feed {
  readonly #hearer: FeedHearer;
  #lastId = 0;
  #startedAt: string | undefined;
  #ending = new AbortController();

  constructor(hearer: FeedHearer) {
    this.#hearer = hearer;
  }

  /** Ends what went on before. */
  begin(): void {
    this.#ending.abort();
    this.#ending = new AbortController();
    void this.#goOn(this.#ending.signal);
  }

  async #goOn(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#read(signal);
        this.#hearer.lost('the agent ended the connection');
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refusal && (error.status === 401 || error.status === 403)) {
          this.#hearer.locked(error.message);
          return;
        }
        this.#hearer.lost(
          error instanceof Refusal ? error.message : 'the agent can not be reached',
        );
      }
      await new Promise((resolve) => {
        setTimeout(resolve, AGAIN_MS);
      });
    }
  }

  async #read(signal: AbortSignal): Promise<void> {
    const silence = new AbortController();
    const either = AbortSignal.any([signal, silence.signal]);
    let timer = setTimeout(() => silence.abort(), SILENT_MS);
    try {
      const response = await ask(`/api/v1/events?after=${this.#lastId}`, {
        headers: { accept: 'text/event-stream' },
        signal: either,
      });
      if (response.body === null) return;
      // Not `for await`: Safari can't iterate a stream.
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = '';
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENT_MS);
        const frames = (rest + value).split('\n\n');
        rest = frames.pop() ?? '';
        for (const frame of frames) this.#take(frame);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #take(frame: string): void {
    const fields = new Map<string, string>();
    for (const line of frame.split('\n')) {
      const at = line.indexOf(': ');
      if (at > 0) fields.set(line.slice(0, at), line.slice(at + 2));
    }
    const data = fields.get('data');
    if (data === undefined) return;
    const kind = fields.get('event');
    if (kind === 'status') this.#takeStatus(JSON.parse(data) as AgentStatus);
    if (kind !== 'event') return;
    const event = JSON.parse(data) as AgentEvent;
    this.#lastId = event.id;
    this.#hearer.event(event);
  }

  #takeStatus(status: AgentStatus): void {
    const isOther = this.#startedAt !== undefined && this.#startedAt !== status.startedAt;
    this.#startedAt = status.startedAt;
    this.#hearer.status(status);
    // Another process counts its events from 1.
    if (isOther && this.#lastId > 0) {
      this.#lastId = 0;
      this.begin();
    }
  }
}
