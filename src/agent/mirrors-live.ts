import { GatelogError, messageOf } from '../errors.ts';
import type { Mirror } from '../mirror/mirror.ts';
import type { Config } from './config-types.ts';
import type { KnownMirrors, MirrorKind } from './known-mirrors.ts';
import type { MirrorFleet, MirrorSurroundings } from './mirrors.ts';

export interface LiveMirrorsOptions extends Omit<MirrorSurroundings, 'known'> {
  readonly config: Config;
  readonly known: KnownMirrors;
}

/** The mirrors of an agent as they come, change and go. Their modules are loaded with the first: they take memory. */
export class LiveMirrors {
  /** By name. */
  readonly mirrors: Map<string, Mirror> = new Map();
  readonly #options: LiveMirrorsOptions;
  /** What they were built by last. */
  #config: Config;
  #fleet: MirrorFleet | undefined;
  /** Aborts when the agent is about to stop. */
  readonly #stopping = new AbortController();

  constructor(options: LiveMirrorsOptions) {
    this.#options = options;
    this.#config = options.config;
  }

  get config(): Config {
    return this.#config;
  }

  /** Before anything is appended. */
  async start(): Promise<void> {
    const { known, logger } = this.#options;
    await known.beginAnewElsewhere(kindsOf(this.#config), logger);
    const names = Object.keys(this.#config.mirrors);
    if (names.length === 0) return;
    const fleet = await this.#loaded(this.#config);
    await fleet.build(names, this.#config);
    await fleet.start(names);
  }

  /**
   * Of mirrors with these names what a configuration says now counts; others stay as they are. Throws before it
   * has ended any where the data folder takes no write: they could not begin anew.
   */
  async change(names: readonly string[], config: Config): Promise<void> {
    const { signal } = this.#stopping;
    const { known, logger } = this.#options;
    const remain = Object.keys(config.mirrors);
    await known.configure(new Set([...this.mirrors.keys(), ...remain]), true);
    const fleet = await this.#loaded(config);
    try {
      if (!(await fleet.end(names, signal))) return;
      await known.beginAnewElsewhere(kindsOf(config), logger);
      await fleet.begin(names, config, signal);
    } catch (error) {
      const text = `${names.join(', ')} ended and did not begin anew: ${messageOf(error)}; reload again, or restart`;
      throw new GatelogError('STORE_WRITE_FAILED', text, { cause: error });
    }
    if (signal.aborted) return;
    this.#config = config;
    await known.configure(remain);
    if (names.some((name) => !remain.includes(name))) known.warn(logger);
  }

  /** No mirror begins anew any more, and none is waited for that ends late. */
  aboutToStop(): void {
    this.#stopping.abort();
  }

  async stop(): Promise<void> {
    this.aboutToStop();
    await this.#fleet?.stop();
  }

  async #loaded(config: Config): Promise<MirrorFleet> {
    if (this.#fleet === undefined) {
      const { MirrorFleet: Fleet } = await import('./mirrors.ts');
      const { known, ...around } = this.#options;
      const surroundings = { ...around, known: () => known.names };
      this.#fleet = new Fleet(config, this.mirrors, surroundings);
    }
    return this.#fleet;
  }
}

function kindsOf({ mirrors }: Config): Readonly<Record<string, MirrorKind>> {
  return Object.fromEntries(
    Object.entries(mirrors).map(([name, { upstream }]) => [name, upstream.kind]),
  );
}
