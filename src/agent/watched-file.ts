import { readFile } from 'node:fs/promises';
import type { AccessFileStatus } from '../admin/access-file-status.ts';
import { ACCESS_LIMITS } from '../access-limits.ts';
import { GatelogError, messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import { type Clock, isoTime, type Timer } from '../time.ts';
import { reasonOf } from './config-document.ts';

/** Throws CONFIG_INVALID, naming the file. `what` as in `a file of users`. */
export async function readSmallFile(file: string, what: string, hint = ''): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new GatelogError('CONFIG_INVALID', `${file} can't be read: ${reasonOf(error)}${hint}`, {
      place: { file },
    });
  }
  if (text.length <= ACCESS_LIMITS.accessFileBytes) return text;
  throw new GatelogError('CONFIG_INVALID', `${file} is too large to be ${what} (more than 8 MiB)`, {
    place: { file },
  });
}

export interface WatchedFileOptions {
  readonly file: string;
  readonly what: AccessFileStatus['what'];
  readonly read: () => Promise<string>;
  /** Throws where the text can't be used; what was taken before stays then. */
  readonly take: (text: string) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * A file about who may do what, looked at from time to time and on request. Where it can't be used
 * what stood there before stays in use, which is said once, and told by the status for as long.
 */
export class WatchedFile {
  readonly #options: WatchedFileOptions;
  #text = '';
  #trouble: string | undefined;
  #troubleSinceMs = 0;
  #timer: Timer | undefined;
  #looking: Promise<void> = Promise.resolve();
  #stopped = false;
  /** Called after every change. */
  onChange: () => void = () => {};

  constructor(options: WatchedFileOptions) {
    this.#options = options;
  }

  /** The first time. Throws CONFIG_INVALID, naming the file. */
  async open(): Promise<void> {
    const text = await this.#options.read();
    this.#options.take(text);
    this.#text = text;
    this.#later();
  }

  /** Looks now. Never rejects. */
  look(): Promise<void> {
    this.#looking = this.#looking.then(() => this.#look());
    return this.#looking;
  }

  status(): AccessFileStatus {
    const { what, file } = this.#options;
    const trouble = this.#trouble ?? null;
    return {
      what,
      source: file,
      trouble,
      since: trouble === null ? null : isoTime(this.#troubleSinceMs),
    };
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #later(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.after(ACCESS_LIMITS.filesLookMs, () => {
      void this.look().finally(() => this.#later());
    });
  }

  async #look(): Promise<void> {
    const { file, what, read, take, clock, logger } = this.#options;
    try {
      const text = await read();
      if (this.#stopped) return;
      const isNew = text !== this.#text;
      if (isNew) take(text);
      this.#text = text;
      if (this.#trouble !== undefined) {
        logger.info({ event: `${what}.usable`, file }, `${file} can be used again`);
      }
      this.#trouble = undefined;
      if (isNew) this.onChange();
    } catch (error) {
      const trouble = messageOf(error);
      if (trouble === this.#trouble) return;
      if (this.#trouble === undefined) this.#troubleSinceMs = clock.nowMs();
      this.#trouble = trouble;
      const message = `${trouble}; the ${what} from before stay in use`;
      logger.error({ event: `${what}.unusable`, file }, message);
    }
  }
}
