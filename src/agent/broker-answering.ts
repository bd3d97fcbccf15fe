import type { Readable } from 'node:stream';
import { CLIENT_BOUNDS } from '../client-limits.ts';
import { type AedesClient, touchKeepAlive } from './broker-aedes.ts';
import { HOLD, type Holds } from './broker-holds.ts';

/**
 * SUBSCRIBEs and UNSUBSCRIBEs of one client from when they are handed to aedes until all that is retained for them has left. At a
 * bound the client is not read: each of them has all retained messages to come. And a PUBLISH behind a SUBSCRIBE waits for
 * SUBACK, which takes a write where the session lasts: what the client publishes after it is for its subscription too.
 */
export class OpenAnswers {
  readonly #client: AedesClient;
  readonly #holds: Holds;
  readonly #goOn: () => void;
  #open = 0;
  #subscribes = 0;

  constructor(client: AedesClient, holds: Holds, goOn: () => void) {
    this.#client = client;
    this.#holds = holds;
    this.#goOn = goOn;
  }

  /** May a PUBLISH be handled? If not, it goes on by itself. */
  get mayPublish(): boolean {
    if (this.#subscribes > 0) this.#holds.add(HOLD.subscribe);
    return this.#subscribes === 0;
  }

  asked(isSubscribe: boolean): void {
    if (isSubscribe) this.#subscribes++;
    this.begin();
  }

  begin(): void {
    this.#open++;
    if (this.#open >= CLIENT_BOUNDS.answersAtOnce) this.#holds.add(HOLD.answers);
  }

  readonly answered = (): void => {
    this.#open--;
    if (this.#open * 2 > CLIENT_BOUNDS.answersAtOnce || !this.#holds.has(HOLD.answers)) return;
    this.#holds.remove(HOLD.answers);
    this.#goOn();
  };

  /** SUBACK has left. */
  told(): void {
    setImmediate(this.answered);
    if (--this.#subscribes > 0 || !this.#holds.has(HOLD.subscribe)) return;
    this.#holds.remove(HOLD.subscribe);
    // Not now: aedes is about to look for the retained messages.
    process.nextTick(this.#goOn);
  }

  /** It reads what it is sent, though it is not listened to. */
  touch(): void {
    if (this.#holds.has(HOLD.answers)) touchKeepAlive(this.#client);
  }
}

/** Those of all clients. */
export class Answering {
  readonly #byClient = new WeakMap<object, OpenAnswers>();
  #told: OpenAnswers | undefined;

  add(client: AedesClient, holds: Holds, goOn: () => void): OpenAnswers {
    const answers = new OpenAnswers(client, holds, goOn);
    this.#byClient.set(client, answers);
    return answers;
  }

  /** SUBACK has left. What is retained is asked for next, in the same turn: then the answer is not over. */
  told(client: object): void {
    this.#told = this.#byClient.get(client);
    this.#told?.told();
  }

  unsubscribed(client: object): void {
    const answers = this.#byClient.get(client);
    if (answers !== undefined) setImmediate(answers.answered);
  }

  /** That is asked for now. */
  retained(stream: Readable): OpenAnswers | undefined {
    const answers = this.#told;
    this.#told = undefined;
    if (answers === undefined) return undefined;
    answers.begin();
    stream.once('close', answers.answered);
    return answers;
  }
}
