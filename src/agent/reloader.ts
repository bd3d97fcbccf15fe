import type { ReloadStatus } from '../admin/reload-status.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import { type Clock, isoTime } from '../time.ts';
import { changedOptions, wholeOf, withValueOf } from './config-changes.ts';
import { type DataPath, formatPath } from './config-document.ts';
import type { Config } from './config-types.ts';

/** The configuration, as it is read again: with what the command line overrules. */
export interface ConfigReading {
  readonly config: Config;
  /** As it is written, secrets filled in. */
  readonly document: unknown;
  readonly warnings: readonly string[];
}

export interface ConfigSource {
  /** What the agent was started with. */
  readonly first: ConfigReading;
  /** Throws CONFIG_INVALID. */
  readonly read: () => ConfigReading;
  /** The command line says something else, so that the file says nothing about it. */
  readonly isOverruled: (at: DataPath) => boolean;
}

/** What can change while the agent runs. */
export interface LiveOptions {
  /** Whether it is among them, on the way to `next`. */
  canChange(at: DataPath, next: Config): boolean;
  /** Throws before it has changed anything. */
  change(options: readonly DataPath[], next: Config): Promise<void>;
}

export interface ReloaderOptions {
  readonly source: ConfigSource | undefined;
  readonly live: LiveOptions;
  /** Certificates, and the files of users, rules and keys. Never rejects. */
  readonly lookAtFiles: () => Promise<void>;
  /** Somebody wants to know when a reload begins and ends. */
  readonly around?: ((reload: () => Promise<void>) => Promise<void>) | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Takes a changed configuration, all of it or nothing: what is wrong in one place is a reason to take
 * nothing from others. What can't change while the agent runs is said by name, again at each reload, until
 * it was restarted or the file says again what it runs with.
 */
export class Reloader {
  readonly #options: ReloaderOptions;
  /** What the agent runs with. */
  #document: unknown;
  #turn: Promise<unknown> = Promise.resolve();
  #last: ReloadStatus | null = null;
  #ended = false;

  constructor(options: ReloaderOptions) {
    this.#options = options;
    this.#document = options.source?.first.document;
  }

  /** Of the last reload; null: there was none. */
  get status(): ReloadStatus | null {
    return this.#last;
  }

  get needsRestart(): readonly string[] {
    return this.#last?.needsRestart ?? [];
  }

  /** One after the other. Never rejects. */
  reload(): Promise<ReloadStatus> {
    const turn = this.#turn.then(() => this.#announced());
    this.#turn = turn;
    return turn;
  }

  /** Resolves when none is under way; none begins any more. */
  async stop(): Promise<void> {
    this.#ended = true;
    await this.#turn;
  }

  async #announced(): Promise<ReloadStatus> {
    const { around } = this.#options;
    if (around === undefined) return this.#reload();
    const { promise, resolve } = Promise.withResolvers<ReloadStatus>();
    await around(async () => resolve(await this.#reload()));
    return promise;
  }

  async #reload(): Promise<ReloadStatus> {
    const { source, lookAtFiles, clock } = this.#options;
    const at = isoTime(clock.nowMs());
    const nothing = { at, refused: null, applied: [], needsRestart: this.needsRestart };
    if (this.#ended) return nothing;
    try {
      const taken = source === undefined ? nothing : { ...nothing, ...(await this.#take(source)) };
      await lookAtFiles();
      this.#last = taken;
      this.#tell(taken);
    } catch (error) {
      const refused = messageOf(error);
      this.#last = { ...nothing, refused };
      this.#options.logger.error(
        { event: 'config.refused', error: refused },
        `nothing of the changed configuration is taken, the agent goes on as before: ${refused}`,
      );
    }
    return this.#last;
  }

  async #take(source: ConfigSource): Promise<Pick<ReloadStatus, 'applied' | 'needsRestart'>> {
    const { live, logger } = this.#options;
    const { config, document, warnings } = source.read();
    for (const warning of warnings) logger.warn({ event: 'config.warning' }, warning);
    const changed = changedOptions(this.#document, document).filter(
      (at) => !source.isOverruled(at),
    );
    const applied = changed.filter((at) => live.canChange(at, config));
    const left = changed.filter((at) => !applied.includes(at));
    if (applied.length > 0) await live.change(applied, config);
    for (const at of applied) this.#document = withValueOf(this.#document, document, wholeOf(at));
    return { applied: applied.map(formatPath), needsRestart: left.map(formatPath) };
  }

  #tell({ applied, needsRestart }: ReloadStatus): void {
    const { logger } = this.#options;
    logger.info(
      { event: 'config.reloaded', applied },
      applied.length === 0
        ? 'the configuration was read again: nothing in it changed that can change while the agent runs'
        : `the configuration was read again: ${applied.join(', ')} changed`,
    );
    if (needsRestart.length === 0) return;
    logger.warn(
      { event: 'config.needs-restart', options: needsRestart },
      `needs a restart: ${needsRestart.join(', ')}`,
    );
  }
}
