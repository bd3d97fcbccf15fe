import { GatelogError } from '../errors.ts';
import type { Store } from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import { suggestion } from '../words.ts';

const KEY = 'mirrors';
const KINDS_KEY = 'mirror-kinds';

/** To what a mirror leads. */
export type MirrorKind = 'kafka' | 'mqtt';

/**
 * The names of all mirrors that ever ran on a data folder. One that is no longer configured still
 * holds its position, and retention keeps what it has not had until a topic's cap forces it out:
 * it may come back. Only a person lets go of it.
 */
export class KnownMirrors {
  readonly #store: Store;
  readonly #names: Set<string>;
  #configured: ReadonlySet<string> = new Set();
  /** One after the other: who is let go of must not begin meanwhile. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(store: Store, names: Set<string>) {
    this.#store = store;
    this.#names = names;
  }

  static async load(store: Store, configured: Iterable<string>): Promise<KnownMirrors> {
    const bytes = await store.keyValue('agent').get(KEY);
    const stored = bytes === undefined ? [] : (JSON.parse(textOf(bytes)) as string[]);
    const known = new KnownMirrors(store, new Set(stored));
    await known.configure(configured);
    return known;
  }

  /**
   * Before a new one begins, and after one that goes has ended. Durable when resolved; `isProbe`: it is written
   * also if nothing is new, so that it throws where nothing can be written.
   */
  configure(names: Iterable<string>, isProbe: boolean = false): Promise<void> {
    return this.#inTurn(async () => {
      const added = [...names].filter((name) => !this.#names.has(name));
      for (const name of added) this.#names.add(name);
      if (isProbe || added.length > 0) await this.#save();
      this.#configured = new Set(names);
    });
  }

  get names(): readonly string[] {
    return [...this.#names];
  }

  /** Not configured any more, and not forgotten. */
  absent(): readonly string[] {
    return [...this.#names].filter((name) => !this.#configured.has(name));
  }

  warn(logger: Logger): void {
    for (const mirror of this.absent()) {
      logger.warn(
        { event: 'mirror.absent', mirror },
        `mirror ${mirror} is not configured any more, and what it has not had is kept for it; let go of it with gatelog mirror forget ${mirror}`,
      );
    }
  }

  /**
   * A mirror that went to an MQTT broker, and now goes to Kafka, or the other way round: how far the one far side
   * is says nothing of the other, which has had none of it.
   */
  beginAnewElsewhere(kinds: Readonly<Record<string, MirrorKind>>, logger: Logger): Promise<void> {
    return this.#inTurn(() => this.#beginAnewElsewhere(kinds, logger));
  }

  async #beginAnewElsewhere(
    kinds: Readonly<Record<string, MirrorKind>>,
    logger: Logger,
  ): Promise<void> {
    const space = this.#store.keyValue('agent');
    const bytes = await space.get(KINDS_KEY);
    const before =
      bytes === undefined ? {} : (JSON.parse(textOf(bytes)) as Record<string, MirrorKind>);
    for (const [name, kind] of Object.entries(kinds)) {
      const was = before[name];
      if (was === undefined || was === kind) continue;
      await this.#letGo(name);
      logger.warn(
        { event: 'mirror.kind', mirror: name, was, kind },
        `mirror ${name} went to ${PLACES[was]}, and goes to ${PLACES[kind]} now: it begins anew with what the log holds`,
      );
    }
    const after = Buffer.from(JSON.stringify({ ...before, ...kinds }));
    if (bytes === undefined || !after.equals(bytes)) await space.put(KINDS_KEY, after);
  }

  /** Throws NOT_FOUND, and USAGE for one that is configured. */
  forget(name: string): Promise<void> {
    return this.#inTurn(() => this.#forget(name));
  }

  async #forget(name: string): Promise<void> {
    if (this.#configured.has(name)) {
      throw new GatelogError(
        'USAGE',
        `mirror "${name}" is configured: take it out of the configuration first, and reload that`,
      );
    }
    if (!this.#names.has(name)) {
      const message = `there is no mirror "${name}" to forget${suggestion(name, this.absent())}`;
      throw new GatelogError('NOT_FOUND', message);
    }
    await this.#letGo(name);
    this.#names.delete(name);
    await this.#save();
  }

  async #letGo(name: string): Promise<void> {
    await this.#store.forgetPositions(positionsName(name));
    // A later mirror of that name owes nothing. What may have been sent (its journal) is remembered.
    for (const space of [
      decisionsSpace(name),
      linkSpace(name),
      sampledSpace(name),
      handshakesSpace(name),
    ]) {
      await this.#clear(space);
    }
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(task);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #clear(space: string): Promise<void> {
    const values = this.#store.keyValue(space);
    await values.deleteAll((await values.entries()).map(([key]) => key));
  }

  #save(): Promise<void> {
    return this.#store.keyValue('agent').put(KEY, Buffer.from(JSON.stringify([...this.#names])));
  }
}

const PLACES: Readonly<Record<MirrorKind, string>> = { kafka: 'Kafka', mqtt: 'an MQTT broker' };

/** The reader's name in the store. MUST stay the same for ever. */
export function positionsName(mirror: string): string {
  return `mirror.${mirror}`;
}

/** Where a mirror keeps what a person decided about it. MUST stay the same for ever. */
export function decisionsSpace(mirror: string): string {
  return `mirror.${mirror}`;
}

/** Where it keeps what it used of its link's budgets. As above. */
export function linkSpace(mirror: string): string {
  return `link.${mirror}`;
}

/** Where it keeps which records went ahead of those that sampling left for later. As above. */
export function sampledSpace(mirror: string): string {
  return `sampled.${mirror}`;
}

/** Where one to an MQTT broker keeps what is under way: a later mirror of that name has sent none of it. As above. */
export function handshakesSpace(mirror: string): string {
  return `mqtt-mirror.${mirror}`;
}

/** Where a mirror to Kafka keeps its journal. MUST stay the same for ever. */
export function journalSpace(mirror: string): string {
  return `kafka.${mirror}`;
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}
