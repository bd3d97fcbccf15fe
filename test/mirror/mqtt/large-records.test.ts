import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import type { MqttClient } from 'mqtt';
import { expect, test } from 'vitest';
import { LargePatience } from '../../../src/mirror/large-patience.ts';
import { followLarge } from '../../../src/mirror/mqtt/large-records.ts';
import { SendWindow } from '../../../src/mirror/mqtt/send-window.ts';
import type { Timer } from '../../../src/time.ts';
import { type Logger, silentLogger } from '../../../src/telemetry.ts';
import { SimClock } from '../../support/sim-clock.ts';

const ACK_MS = 30_000;
const KEEPALIVE_MS = 30_000;

/** As the library: pings once it has heard nothing, and gives up when that is not answered. */
class PingingClient extends EventEmitter {
  readonly stream: PassThrough = new PassThrough();
  readonly #clock: SimClock;
  #timer: Timer | undefined;
  pings = 0;

  constructor(clock: SimClock) {
    super();
    this.#clock = clock;
    this.reschedulePing();
  }

  sendPing(): void {
    this.pings++;
  }

  reschedulePing(): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.after(1.5 * KEEPALIVE_MS, () => this.end());
  }

  end(): void {
    this.#timer?.cancel();
    this.emit('close');
  }
}

interface Carried {
  /** For how long each session stood. */
  readonly stoodMs: readonly number[];
  readonly got: boolean;
  readonly said: readonly string[];
}

/** One packet that takes so long on the wire, in session after session, each with its silence watch. */
async function carry(bytes: number, takesMs: number, sessions: number): Promise<Carried> {
  const clock = new SimClock();
  const patience = new LargePatience({ configuredMs: ACK_MS, mostMs: 900_000 });
  const said: string[] = [];
  const logger: Logger = { ...silentLogger, warn: (_fields, text) => void said.push(text) };
  const stoodMs: number[] = [];
  for (let session = 0; session < sessions; session++) {
    const client = new PingingClient(clock);
    const window = new SendWindow({ packets: 10 });
    const ackMs = patience.begin();
    followLarge({
      client: client as unknown as MqttClient,
      where: 'mqtt://far',
      window,
      patience,
      keepaliveMs: KEEPALIVE_MS,
      clock,
      logger,
    });
    const begunMs = clock.monotonicMs();
    const flight = window.sent(bytes, begunMs);
    const closed = new Promise((resolve) => {
      client.once('close', resolve);
    });
    const timers = [clock.after(ackMs, () => client.end())];
    let got = false;
    timers.push(
      clock.after(takesMs, () => {
        got = true;
        window.answered(flight, clock.monotonicMs());
        client.end();
      }),
    );
    await clock.settled(closed, 1_000_000);
    for (const timer of timers) timer.cancel();
    stoodMs.push(clock.monotonicMs() - begunMs);
    if (got) return { stoodMs, got, said };
  }
  return { stoodMs, got: false, said };
}

test('a packet that takes longer than the time for an acknowledgement gets through', async () => {
  const { stoodMs, got, said } = await carry(1_000_000, 125_000, 10);
  expect(got).toBe(true);
  expect(stoodMs).toEqual([30_000, 90_000, 125_000]);
  expect(said).toEqual([
    'mqtt://far: a record of 976.6 KiB was not acknowledged within 30s; it is given 1m 30s next',
    'mqtt://far: a record of 976.6 KiB was not acknowledged within 1m 30s; it is given 4m 30s next',
  ]);
});

test('a small one in a black hole changes nothing', async () => {
  const { stoodMs, said } = await carry(2000, 1_000_000, 4);
  expect(stoodMs).toEqual([30_000, 30_000, 30_000, 30_000]);
  expect(said).toEqual([]);
});
