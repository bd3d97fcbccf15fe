import { existsSync, mkdirSync, readdirSync, watch } from 'node:fs';
import { join } from 'node:path';
import { type Random, seededRandom } from '../../src/random.ts';
import { pause } from '../support/hunt/wait.ts';
import type { LoadPlan } from './load-plan.ts';
import { compileProgram, StoreLife } from './store-life.ts';
import { StoreOracle } from './store-oracle.ts';
import { compileWitness, type CutReport, Witness } from './witness.ts';

/** Made once for many campaigns. */
export interface CampaignTools {
  readonly library: string;
  readonly env: Readonly<Record<string, string>>;
}

export async function prepareTools(folder: string): Promise<CampaignTools> {
  return { library: await compileWitness(folder), env: await compileProgram(folder) };
}

/** Power cuts of a store under load, one life after the other on one folder. */
export interface CampaignOptions {
  readonly folder: string;
  readonly tools: CampaignTools;
  readonly seed: number;
  readonly cuts: number;
  readonly plant?: 'sync-off' | 'folders';
}

export interface CampaignResult {
  readonly seed: number;
  readonly variant: string;
  readonly cuts: number;
  /** Of them: before the store stood, so in the recovery from the cut before. */
  readonly cutsWhileOpening: number;
  /** While a segment was being made, or removed: its change of names was not covered. */
  readonly cutsInRoll: number;
  readonly cutsInRemoval: number;
  readonly strict: number;
  readonly tears: Readonly<Record<string, number>>;
  readonly bytesLost: number;
  readonly undone: number;
  readonly acknowledged: number;
  readonly recordsRead: number;
  readonly retired: number;
  /** Of those: before the mirror had them, and in the loss ledger. */
  readonly declared: number;
  readonly unpromisedGaps: number;
  readonly untold: number;
  /** Databases that LevelDB's repair had to take in hand, of those that are there at the end. */
  readonly repaired: number;
  readonly problems: readonly string[];
}

interface Variant {
  readonly segmentBytes: number;
  readonly compression: 'zstd' | 'none';
  readonly payloadBytes: number;
  /** A life under load takes up to this. */
  readonly loadMs: number;
}

/**
 * Small segments, rolled and removed every few commits; and segments beyond LevelDB's write buffer
 * (4 MiB), with payloads that fill it within a life, so that it changes its write-ahead file.
 */
const VARIANTS: readonly Variant[] = [
  { segmentBytes: 65_536, compression: 'none', payloadBytes: 300, loadMs: 70 },
  { segmentBytes: 16_777_216, compression: 'none', payloadBytes: 30_000, loadMs: 160 },
  { segmentBytes: 200_000, compression: 'zstd', payloadBytes: 900, loadMs: 70 },
];
/** What a sync takes: long enough that a kill finds one under way. */
const SYNC_US = 400;
/** Ample: how soon retention has something to remove depends on the machine. */
const REMOVAL_WITHIN_MS = 5000;
/** Larger ones hold more than a life writes. */
const REMOVED_SEGMENT_BYTES = 1_000_000;

export async function runCampaign(options: CampaignOptions): Promise<CampaignResult> {
  return new Campaign(options).run();
}

class Campaign {
  readonly #options: CampaignOptions;
  readonly #random: Random;
  readonly #variant: Variant;
  readonly #oracle = new StoreOracle();
  readonly #witness: Witness;
  readonly #data: string;
  readonly #reports: CutReport[] = [];
  #cutsWhileOpening = 0;
  #life = 0;

  constructor(options: CampaignOptions) {
    const { folder, tools, seed, plant } = options;
    this.#options = options;
    this.#random = seededRandom(seed);
    this.#variant = VARIANTS[seed % VARIANTS.length] ?? (VARIANTS[0] as Variant);
    // Not the data folder itself: its own name is not on the disk either at first.
    const root = join(folder, 'disk');
    mkdirSync(root, { recursive: true });
    this.#data = join(root, 'data');
    const lies = plant === 'folders' ? { lies: plant } : {};
    this.#witness = new Witness(tools.library, { folder, root, syncUs: SYNC_US, ...lies });
  }

  async run(): Promise<CampaignResult> {
    for (let cut = 1; cut <= this.#options.cuts; cut++) {
      try {
        await this.#untilCut();
      } catch (error) {
        // As when the process under test ended by itself. The other campaigns go on.
        this.#oracle.problem(`life ${this.#life}: ${String(error)}`);
        break;
      }
      // A folder that nobody looked into is recovered by the next life itself.
      if (this.#random.next() < 0.6 || cut === this.#options.cuts) await this.#check();
      if (this.#oracle.problemCount > 0) break;
    }
    return this.#result();
  }

  /** One life, or several with a plain kill between them, and the cut. */
  async #untilCut(): Promise<void> {
    while (this.#random.next() < 0.15) await this.#live();
    const whileOpening = await this.#live();
    const report = this.#witness.cut(this.#random);
    if (whileOpening) this.#cutsWhileOpening++;
    this.#reports.push(report);
    for (const what of report.unfollowed) this.#oracle.problem(`the witness can't follow: ${what}`);
  }

  /** Returns whether it was killed before the store stood. */
  async #live(): Promise<boolean> {
    this.#life++;
    let open = false;
    const env = { ...this.#options.tools.env, ...this.#witness.env };
    const life = new StoreLife(this.#plan(), env, (line) => {
      if (line === 'open') open = true;
      this.#oracle.hear(line);
    });
    try {
      const inRecovery = this.#life > 1 && this.#random.next() < 0.2;
      await life.said(inRecovery ? 'opening' : 'open');
      if (inRecovery) await pause(this.#random.next() * 25);
      else if (this.#random.next() < 0.1) await this.#untilRemoval();
      else await pause(this.#random.next() * this.#variant.loadMs);
    } finally {
      await life.kill();
    }
    this.#witness.died();
    return !open;
  }

  /** Until retention removes a segment, or for a while when it does not. */
  async #untilRemoval(): Promise<void> {
    const log = join(this.#data, 'log');
    if (!existsSync(log)) return;
    if (this.#variant.segmentBytes > REMOVED_SEGMENT_BYTES) return pause(this.#variant.loadMs);
    const removal = Promise.withResolvers<void>();
    const watcher = watch(log, (_, name) => {
      if (name?.endsWith('.removed') === true) removal.resolve();
    });
    try {
      await Promise.race([removal.promise, pause(REMOVAL_WITHIN_MS)]);
    } finally {
      watcher.close();
    }
  }

  #plan(): LoadPlan {
    return {
      folder: this.#data,
      life: this.#life,
      seed: this.#options.seed + this.#life,
      segmentBytes: this.#variant.segmentBytes,
      compression: this.#variant.compression,
      payloadBytes: this.#variant.payloadBytes,
      sequence: this.#oracle.sequence,
      plant: this.#options.plant === 'sync-off' ? 'sync-off' : undefined,
    };
  }

  async #check(): Promise<void> {
    try {
      await this.#oracle.check(this.#data, this.#options.seed + this.#life);
    } catch (error) {
      this.#oracle.problem(`after life ${this.#life}: ${String(error)}`);
    }
    // It read and mended without the witness: all of it counts as on the disk.
    this.#witness.settle();
  }

  #result(): CampaignResult {
    const { segmentBytes, compression } = this.#variant;
    const reports = this.#reports;
    const count = (wanted: (report: CutReport) => boolean): number => reports.filter(wanted).length;
    const sum = (of: (report: CutReport) => number): number =>
      reports.reduce((total, report) => total + of(report), 0);
    const log = join(this.#data, 'log');
    return {
      seed: this.#options.seed,
      variant: `segments of ${segmentBytes}, ${compression}`,
      cuts: reports.length,
      cutsWhileOpening: this.#cutsWhileOpening,
      cutsInRoll: count(({ loose }) =>
        loose.some(({ kind, path }) => kind === 'folder' && path.startsWith(log)),
      ),
      cutsInRemoval: count(({ loose }) => loose.some(({ path }) => path.includes('.removed'))),
      strict: count(({ manner }) => manner === 'strict'),
      tears: countedBy(reports.flatMap(({ tears }) => tears)),
      bytesLost: sum(({ bytesLost }) => bytesLost),
      undone: sum(({ undone }) => undone),
      acknowledged: this.#oracle.acknowledged,
      recordsRead: this.#oracle.recordsRead,
      retired: this.#oracle.retired,
      declared: this.#oracle.declared,
      unpromisedGaps: this.#oracle.unpromisedGaps,
      repaired: foldersNamed('lost', this.#data),
      untold: sum(({ untold }) => untold),
      problems: this.#oracle.problems,
    };
  }
}

function foldersNamed(name: string, below: string): number {
  if (!existsSync(below)) return 0;
  return readdirSync(below, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isDirectory() && (entry.name === name || entry.name.endsWith(`-${name}`)),
  ).length;
}

function countedBy(items: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const item of items) counts[item] = (counts[item] ?? 0) + 1;
  return counts;
}
