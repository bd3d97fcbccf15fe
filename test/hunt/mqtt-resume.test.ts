import { expect, test } from 'vitest';
import { type CutAt, MqttCutter } from '../support/mqtt-cutter.ts';
import { PairAgent } from '../support/edge-and-centre.ts';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';
import { freePorts } from '../support/ports.ts';
import { seededRandom } from '../../src/random.ts';
import { broker, cleanups, listen } from '../edge/mqtt-rig.ts';

const STEPS: readonly CutAt[] = ['PUBLISH', 'PUBREC', 'PUBREL', 'PUBCOMP'];
const KILLS = 60;

/** The real agent, killed where the link was cut, with records coming all the while. */
test('QoS 2 to a Mosquitto, SIGKILL at random steps: each record arrives once, in order', async () => {
  const seed = seedOfRun();
  console.log(`mqtt-resume: GATELOG_SEED=${seed} replays this run`);
  const random = seededRandom(seed);
  const pick = (below: number): number => Math.floor(random.next() * below);
  await inWorkFolder('mqtt-resume', async (folder) => {
    const { port } = await broker({
      lines: ['allow_anonymous true', 'max_queued_messages 0', 'max_inflight_messages 15'],
    });
    const heard = await listen(port);
    const cutter = await MqttCutter.start(port);
    cleanups.push(() => cutter.close());
    const [own = 0] = await freePorts(1);
    const upstream = `mqtt: { url: "mqtt://127.0.0.1:${cutter.port}", qos: 2 }`;
    const edge = new PairAgent(
      folder,
      'edge',
      own,
      `mqtt: { listen: ["mqtt://127.0.0.1:${own}"] }\n` +
        `mirrors: { up: { topics: [telemetry], batch: { records: 100 }, ${upstream} } }\n`,
    );
    cleanups.push(() => edge.end());
    const sent: string[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      await edge.start();
      const cut = cutter.cutAt(STEPS[pick(STEPS.length)] ?? 'PUBLISH', pick(60));
      const lines = Array.from({ length: 100 }, (_, at) => String(sent.length + at));
      sent.push(...lines);
      await edge.publish(lines);
      await cut;
      await edge.agent.kill();
    }
    await edge.start();
    await edge.mirrored();
    await expect.poll(() => heard.length, { timeout: 60_000 }).toBeGreaterThanOrEqual(sent.length);
    expect(heard.map(({ text }) => text)).toEqual(sent);
  });
}, 1_800_000);
