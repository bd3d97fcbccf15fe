import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Random, seededRandom } from '../../../src/random.ts';
import { Witness } from '../../crash/witness.ts';
import { freePorts } from '../ports.ts';
import { AgentProcess } from './agent-process.ts';
import { checkByCommand } from './consume.ts';
import { DEDUP, type DeviceProfile } from './device.ts';
import { Fleet } from './fleet.ts';
import { LogOracle } from './log-oracle.ts';
import { LiveReader, type Sighting } from './live-reader.ts';
import { Ledger } from './messages.ts';
import { readFolder } from './read-store.ts';
import { pause } from './wait.ts';

/**
 * The acknowledged set against the log. The real agent is killed with SIGKILL at random moments
 * under load, `kills` times; after each, or after several, the folder is opened and read.
 */
export interface AckedSetOptions {
  readonly folder: string;
  readonly seed: number;
  readonly kills: number;
  /** Every kill is a power cut as well: what was not synced may be lost or spoiled. */
  readonly powerCut?: boolean;
  /** Devices send nothing but QoS 2: no message may be in the log twice. */
  readonly onlyQos2?: boolean;
  /** Devices number their messages, at every QoS: none may be in the log twice. */
  readonly numbered?: boolean;
}

export interface AckedSetResult {
  readonly kills: number;
  readonly killsWhileStarting: number;
  readonly sent: number;
  readonly acked: number;
  readonly records: number;
  readonly resendCopies: number;
  /** Records that readers beside the running agent were shown; each was found again. */
  readonly shown: number;
  /** Records that retention removed after they were read. */
  readonly retired: number;
  /** Power cuts: bytes that were written and not synced, and lost. */
  readonly bytesCut: number;
  readonly undone: number;
  readonly problems: readonly string[];
}

/** Partitions per topic; the same numbers stand in the configuration below. */
const TOPICS: ReadonlyMap<string, number> = new Map([
  ['telemetry', 8],
  ['large', 2],
  ['ring', 2],
  ['quick', 3],
]);

/**
 * Segments of the least size, so that lives end in the middle of rolls and checkpoints, and byte
 * caps that retention enforces every minute. `quick` is acknowledged before the sync: a killed
 * process must not lose it either; a power cut may, and must not harm what is synced around it.
 */
function configuration(options: AckedSetOptions, port: number): string {
  return `gateway: hunt
data: ${join(options.folder, DISK, 'data')}
log: { level: info, format: json }
mqtt:
  listen: [ "mqtt://127.0.0.1:${port}" ]
${options.numbered === true ? `  dedup: ${DEDUP}\n` : ''}store:
  segment: 1MiB
  compression: ${options.seed % 2 === 0 ? 'zstd' : 'none'}
  retentionSchedule: "* * * * *"
topics:
  telemetry: { partitions: 8, durability: fsync, retention: { bytes: 4MiB } }
  large: { partitions: 2, durability: fsync, retention: { bytes: 4MiB } }
  ring: { partitions: 2, durability: none, retention: { bytes: 1MiB } }
  quick: { partitions: 3, durability: os, retention: { bytes: 1MiB } }
routes:
  - { match: "large/#", topic: large }
  - { match: "ring/#", topic: ring }
  - { match: "quick/#", topic: quick }
  - { match: "#", topic: telemetry }
`;
}

/** What a power cut takes bytes and names from. */
const DISK = 'disk';
const DEVICES = 24;
const RATE_PER_SECOND = 2500;
/** This near to a full minute every life is read: retention may drop what it does not find read. */
const UNREAD_MS = 8000;

function untilMinuteMs(): number {
  return 60_000 - (Date.now() % 60_000);
}

function profileOf(index: number, random: Random): DeviceProfile {
  const id = `d${index}`;
  const branches = ['plant', 'plant', 'ring', 'quick', 'large'];
  const branch = index < 5 ? branches[index] : branches[Math.floor(random.next() * 4)];
  return {
    id,
    version: random.next() < 0.5 ? 5 : 4,
    window: 1 + Math.floor(random.next() * 60),
    topics: [`${branch}/${id}/a`, `${branch}/${id}/b`, `plant/shared/${index % 3}/${id}`],
    nextQos: (chance) => {
      const point = chance.next();
      if (point < 0.05) return 0;
      return point < 0.2 ? 2 : 1;
    },
    nextPayloadBytes: (chance) => {
      const point = chance.next();
      if (branch === 'large' && point < 0.02) return 50_000 + Math.floor(chance.next() * 150_000);
      if (point < 0.05) return 1000 + Math.floor(chance.next() * 8000);
      return 60 + Math.floor(chance.next() * 200);
    },
  };
}

export async function huntAckedSet(options: AckedSetOptions): Promise<AckedSetResult> {
  const hunt = await AckedSetHunt.prepare(options);
  try {
    return await hunt.run();
  } finally {
    await hunt.end();
  }
}

class AckedSetHunt {
  readonly #options: AckedSetOptions;
  readonly #random: Random;
  readonly #ledger: Ledger;
  readonly #oracle: LogOracle;
  readonly #fleet: Fleet;
  readonly #config: string;
  readonly #data: string;
  #agent: AgentProcess | undefined;
  #kills = 0;
  #killsWhileStarting = 0;
  #bytesCut = 0;
  #undone = 0;
  #readers: readonly LiveReader[] = [];
  /** Not yet compared with the log. */
  #sightings: Sighting[] = [];
  #shown = 0;
  readonly #witness: Witness | undefined;

  private constructor(options: AckedSetOptions, port: number, witness: Witness | undefined) {
    this.#witness = witness;
    this.#options = options;
    const powerCut = options.powerCut === true;
    this.#ledger = new Ledger(({ mqttTopic }) => !powerCut || !mqttTopic.startsWith('quick/'));
    this.#oracle = new LogOracle(this.#ledger, TOPICS);
    this.#random = seededRandom(options.seed);
    this.#data = join(options.folder, DISK, 'data');
    this.#config = join(options.folder, 'gatelog.yaml');
    writeFileSync(this.#config, configuration(options, port));
    this.#fleet = new Fleet({
      port,
      devices: DEVICES,
      ratePerSecond: RATE_PER_SECOND,
      random: this.#random,
      ledger: this.#ledger,
      profile: (index, random) => ({
        ...profileOf(index, random),
        ...(options.onlyQos2 === true ? { nextQos: () => 2 } : {}),
        ...(options.numbered === true ? { numbered: true, version: 5 } : {}),
      }),
    });
  }

  static async prepare(options: AckedSetOptions): Promise<AckedSetHunt> {
    mkdirSync(options.folder, { recursive: true });
    const [port = 0] = await freePorts(1);
    const witness =
      options.powerCut === true
        ? await Witness.prepare({ folder: options.folder, root: join(options.folder, DISK) })
        : undefined;
    return new AckedSetHunt(options, port, witness);
  }

  async run(): Promise<AckedSetResult> {
    this.#fleet.start();
    for (let life = 1; life <= this.#options.kills; life++) {
      await this.#life(life);
      this.#kills = life;
      // A folder that nobody read in between is recovered by the next agent itself. What stands
      // unread when retention runs must be less than the byte caps, or it is gone unread.
      const chance = this.#random.next() < 0.4;
      const leave = chance && life < this.#options.kills && untilMinuteMs() > UNREAD_MS;
      if (!leave) await this.#check(life);
      if (this.#oracle.problemCount > 0) break;
    }
    await this.#calmEnd();
    return this.#result();
  }

  async end(): Promise<void> {
    this.#fleet.stop();
    for (const reader of this.#readers) reader.close();
    await this.#agent?.kill();
  }

  async #start(): Promise<AgentProcess> {
    this.#agent = await AgentProcess.start({
      config: this.#config,
      logFile: join(this.#options.folder, 'agent.log'),
      ...(this.#witness === undefined ? {} : { env: this.#witness.env }),
    });
    return this.#agent;
  }

  async #life(life: number): Promise<void> {
    const agent = await this.#start();
    if (life > 1 && this.#random.next() < 0.15) {
      this.#killsWhileStarting++;
      await pause(this.#random.next() * 600);
    } else {
      await this.#underLoad(agent, 20 + this.#random.next() * 700);
    }
    if (agent.ended) throw new Error(`life ${life}: the agent ended by itself`);
    await agent.kill();
    await this.#fleet.disconnected();
    for (const reader of this.#readers) {
      await reader.ended;
      this.#sightings.push(...reader.sightings);
      this.#shown += reader.sightings.length;
    }
    this.#readers = [];
    const report = this.#witness?.cut(this.#random);
    if (report === undefined) return;
    this.#bytesCut += report.bytesLost;
    this.#undone += report.undone;
    for (const what of report.unfollowed) this.#oracle.problem(`the witness can't follow: ${what}`);
  }

  /** From the first acknowledgement of this life. */
  async #underLoad(agent: AgentProcess, forMs: number): Promise<void> {
    await Promise.race([this.#fleet.acknowledged(1, 30_000), agent.endedByItself()]);
    this.#readers = ['telemetry', 'quick', 'ring'].map(
      (topic) => new LiveReader(this.#data, topic),
    );
    // Retention runs at the full minute: die in the middle of it when it is near.
    const toMinute = untilMinuteMs();
    await pause(toMinute < 2500 ? toMinute + forMs / 4 : forMs);
  }

  /** Reads what is new and, at random places, what earlier lives already read. */
  async #check(life: number): Promise<void> {
    const whole = life % 25 === 0;
    const from = (topic: string, partition: number): number => {
      const known = this.#oracle.known(topic, partition);
      return whole ? 0 : Math.max(0, known - Math.floor(this.#random.next() * 2000));
    };
    const chance = this.#random.next();
    // Only to look mends nothing, and after a cut something may be to mend.
    const readOnly = this.#witness === undefined && chance < 0.5;
    await readFolder(this.#data, this.#oracle, { from, readOnly, retain: chance > 0.8 });
    this.#witness?.settle();
    this.#oracle.complete();
    for (const sighting of this.#sightings) this.#oracle.shown(sighting);
    this.#sightings = [];
  }

  /** One more life, without a kill: devices drain, the agent stops, everything is read again. */
  async #calmEnd(): Promise<void> {
    if (this.#oracle.problemCount > 0) return;
    const agent = await this.#start();
    await this.#fleet.acknowledged(1, 30_000);
    await this.#fleet.drain(30_000);
    this.#fleet.stop();
    await agent.stop();
    const whole = { from: () => 0, readOnly: true, retain: false };
    await readFolder(this.#data, this.#oracle, whole);
    await checkByCommand(this.#data, this.#oracle, [...TOPICS.keys()]);
    this.#oracle.finish();
  }

  #result(): AckedSetResult {
    return {
      kills: this.#kills,
      killsWhileStarting: this.#killsWhileStarting,
      sent: this.#ledger.sentCount,
      acked: this.#ledger.ackedCount,
      records: this.#oracle.knownRecords,
      resendCopies: this.#ledger.resendCopies(),
      shown: this.#shown,
      retired: this.#oracle.retired,
      bytesCut: this.#bytesCut,
      undone: this.#undone,
      problems: this.#oracle.problems,
    };
  }
}
