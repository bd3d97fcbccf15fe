import { connect as dial } from 'node:net';
import { seededRandom } from '../../../src/random.ts';
import { within } from '../hunt/wait.ts';
import { connect, encode, type Version } from './mqtt-fields.ts';
import { MqttMutator } from './mqtt-mutator.ts';
import { type Service, Target } from './target.ts';

export interface FuzzReport {
  readonly packets: number;
  readonly connections: number;
  /** Connections that the agent did not end after we did. */
  readonly hung: number;
  readonly packetsPerSecond: number;
  readonly kiBBefore: number;
  /** After the first tenth: what is bounded may be filled once. */
  readonly peakKiBEarly: number;
  readonly peakKiBLate: number;
  /** What the innocent client saw meanwhile. */
  readonly service: Service;
}

const CONNECTIONS = 16;
const PACKETS_AT_ONCE = 25;
/** CONNECT may take 10 s. */
const HUNG_MS = 30_000;

/** Mutated packets against a real agent, from many connections at a time. Throws where the agent ends. */
export async function fuzzAgent(
  folder: string,
  seed: number,
  packets: number,
): Promise<FuzzReport> {
  const target = await Target.start(folder);
  const fuzz = new Fuzz(target, seed, packets);
  const progress = setInterval(() => console.log(`mqtt-fuzz: ${fuzz.sent} packets`), 30_000);
  try {
    return await fuzz.run();
  } finally {
    clearInterval(progress);
    await target.kill();
  }
}

class Fuzz {
  readonly #target: Target;
  readonly #mutator: MqttMutator;
  readonly #packets: number;
  sent = 0;
  #connections = 0;
  #hung = 0;

  constructor(target: Target, seed: number, packets: number) {
    this.#target = target;
    this.#mutator = new MqttMutator(seededRandom(seed));
    this.#packets = packets;
  }

  async run(): Promise<FuzzReport> {
    const target = this.#target;
    const kiBBefore = target.memoryKiB();
    const begun = performance.now();
    await this.#until(this.#packets / 10);
    const peakKiBEarly = target.takePeakKiB();
    await this.#until(this.#packets);
    const packetsPerSecond = Math.round(this.sent / ((performance.now() - begun) / 1000));
    const peakKiBLate = target.takePeakKiB();
    const service = await target.service();
    await target.stop();
    return {
      packets: this.sent,
      connections: this.#connections,
      hung: this.#hung,
      packetsPerSecond,
      kiBBefore,
      peakKiBEarly,
      peakKiBLate,
      service,
    };
  }

  async #until(packets: number): Promise<void> {
    const one = async (): Promise<void> => {
      while (this.sent < packets && this.#target.alive) await this.#connection();
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, one));
    if (!this.#target.alive) throw new Error(`the agent ended after ${this.sent} packets`);
  }

  /** Mostly let in first; then everything in one write, and an end, in the midst of a packet or not. */
  async #connection(): Promise<void> {
    const mutator = this.#mutator;
    const version = (3 + mutator.below(3)) as Version;
    const hello = connect(version, `fuzz-${mutator.below(500)}`, mutator.below(4) === 0);
    const parts = [mutator.below(5) === 0 ? mutator.mutated(hello, version) : encode(hello)];
    const count = 1 + mutator.below(PACKETS_AT_ONCE);
    for (let index = 0; index < count; index++) parts.push(mutator.packet(version));
    this.sent += count + 1;
    this.#connections++;
    const socket = dial({ port: this.#target.port, host: '127.0.0.1', noDelay: true });
    socket.on('error', () => {}); // a reset, as it is hung up on
    const closed = new Promise<true>((resolve) => {
      socket.once('close', () => resolve(true));
    });
    socket.resume();
    socket.end(Buffer.concat(parts));
    if ((await within(closed, HUNG_MS)) === true) return;
    this.#hung++;
    socket.destroy();
  }
}
