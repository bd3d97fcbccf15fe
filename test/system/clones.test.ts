import { expect, test } from 'vitest';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MirrorStatus } from '../../src/mirror/status.ts';
import { partitionOfKey } from '../../src/murmur2.ts';
import { runGatelog } from '../support/hunt/agent-process.ts';
import { Gateway } from '../support/hunt/gateway.ts';
import { GATEWAY_TOPICS } from '../support/hunt/gateway-config.ts';
import { inWorkFolder } from '../support/hunt/work-folder.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { kcatConsume } from '../support/kafka/tools.ts';

/** The transactional id's owner, end to end: restarts of one gateway, and two that are one. */
const kafka = KafkaOfFile.open();
const WITHIN_MS = 60_000;

function lines(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${name}-${index}`);
}

async function readCentral(gateway: Gateway): Promise<{ values: string[]; identities: string[] }> {
  const records = await kcatConsume(kafka.cluster, gateway.centralTopic('telemetry'));
  return {
    values: records.map(({ value }) => value ?? ''),
    identities: records.map(({ headers }) => headers.at(-1)?.[1] ?? ''),
  };
}

async function makeGateway(folder: string, name: string): Promise<Gateway> {
  const gateway = await Gateway.make({ folder, name, cluster: kafka.cluster, listener: 'sasl' });
  await gateway.grant(kafka.cluster);
  return gateway;
}

test('the same transactional id, started four times: each takes over, nothing twice, nothing lost', async () => {
  await inWorkFolder('restarts', async (folder) => {
    const gateway = await makeGateway(folder, 'restarts');
    const sent: string[] = [];
    try {
      for (let life = 0; life < 4; life++) {
        await gateway.start();
        await gateway.ready();
        await gateway.mirrorIs(({ state }) => state === 'live', WITHIN_MS);
        const batch = lines(`life${life}`, 50);
        await gateway.publish('plant/a', batch);
        sent.push(...batch);
        // Every other life ends without having said good-bye.
        if (life % 2 === 0) await gateway.mirrored(WITHIN_MS);
        if (life % 2 === 0) await gateway.agent.stop();
        else await gateway.agent.kill();
      }
      await gateway.start();
      await gateway.mirrored(WITHIN_MS);
      const { values, identities } = await readCentral(gateway);
      expect(values).toEqual(sent);
      expect(new Set(identities).size).toBe(sent.length);
      expect((await gateway.mirror()).state).toBe('live');
    } finally {
      await gateway.end();
    }
  });
});

/** Something in log and Kafka, a proper end, and a copy of the disk. */
async function firstLife(gateway: Gateway, copyTo: string): Promise<Gateway> {
  try {
    await gateway.start();
    await gateway.ready();
    await gateway.publish('plant/a', lines('before', 40));
    await gateway.mirrored(WITHIN_MS);
    await gateway.agent.stop();
    return await gateway.clone(copyTo);
  } finally {
    await gateway.end();
  }
}

/** Both run; the second sends so many records in the first's place. */
async function fencedBy(second: Gateway, first: Gateway, records: number): Promise<MirrorStatus> {
  for (const gateway of [first, second]) {
    await gateway.start();
    await gateway.ready();
    await gateway.mirrorIs(({ state }) => state === 'live', WITHIN_MS);
  }
  await second.publish('plant/a', lines('second', records));
  await second.mirrored(WITHIN_MS);
  await first.publish('plant/a', lines('first', 20));
  return first.mirrorIs(({ state }) => state === 'halted', WITHIN_MS);
}

async function resume({ data }: Gateway): Promise<void> {
  expect((await runGatelog(['mirror', 'resume', 'central', '--data', data])).code).toBe(0);
}

async function refusedAfterResume(gateway: Gateway, fenced: MirrorStatus): Promise<MirrorStatus> {
  await resume(gateway);
  return gateway.mirrorIs(
    ({ state, reason }) => state === 'halted' && reason !== fenced.reason,
    WITHIN_MS,
  );
}

test('two clones of one gateway: the older is fenced and says so, nothing repeats', async () => {
  await inWorkFolder('clones', async (folder) => {
    const first = await makeGateway(join(folder, 'first'), 'twins');
    const second = await firstLife(first, join(folder, 'second'));
    try {
      const fenced = await fencedBy(second, first, 30);
      expect(fenced.reason).toMatch(/clone/u);
      const said = await runGatelog(['mirror', 'status', '--data', first.data]);
      expect(said.stdout).toMatch(/halted/u);
      expect(said.stdout).toMatch(/clone of 'twins'/u);
      expect(readFileSync(first.logFile, 'utf8')).toMatch(/clone of 'twins'/u);

      // The newer one goes on, undisturbed.
      await second.publish('plant/a', lines('after', 10));
      await second.mirrored(WITHIN_MS);
      const { values, identities } = await readCentral(first);
      expect(values).toEqual([
        ...lines('before', 40),
        ...lines('second', 30),
        ...lines('after', 10),
      ]);
      expect(new Set(identities).size).toBe(values.length);
      // Resumed as it is, it would pass over records of its own: Kafka's position lies beyond its
      // log. It must refuse, and again say so.
      await second.agent.stop();
      const refused = await refusedAfterResume(first, fenced);
      expect(refused.reason).toMatch(/80/u);
      // What the fenced one took from its devices is still in its own log.
      const kept = await runGatelog(['consume', 'telemetry', '--data', first.data, '--json']);
      for (const line of lines('first', 20)) expect(kept.stdout).toContain(`"${line}"`);
    } finally {
      await first.end();
      await second.end();
    }
  });
});

test('a fenced gateway does not pass over what its clone sent in its place', async () => {
  await inWorkFolder('in-place', async (folder) => {
    const first = await makeGateway(join(folder, 'first'), 'in-place');
    const second = await firstLife(first, join(folder, 'second'));
    try {
      const fenced = await fencedBy(second, first, 5);
      await second.agent.stop();
      // Kafka's position, 45, lies within the log of the first: 40 to 44 are others there.
      const refused = await refusedAfterResume(first, fenced);
      expect(refused.reason).toMatch(/up to 45, but this data folder has sent it up to 40 only/u);
      // A person decides: from where its own begin.
      const seek = ['mirror', 'seek', 'central', '--topic', 'telemetry'];
      const partition = partitionOfKey(
        Buffer.from('plant/a'),
        GATEWAY_TOPICS.get('telemetry') ?? 0,
      );
      const to = ['--partition', String(partition), '--to', '40', '--data', first.data];
      expect(await runGatelog([...seek, ...to])).toMatchObject({ code: 0 });
      await resume(first);
      await first.mirrored(WITHIN_MS);
      expect((await readCentral(first)).values).toEqual([
        ...lines('before', 40),
        ...lines('second', 5),
        ...lines('first', 20),
      ]);
    } finally {
      await first.end();
      await second.end();
    }
  });
});

test('another folder under the same name is refused, and the rightful gateway goes on', async () => {
  await inWorkFolder('stranger', async (folder) => {
    const first = await makeGateway(join(folder, 'first'), 'rightful');
    const stranger = await makeGateway(join(folder, 'stranger'), 'rightful');
    try {
      await first.start();
      await first.ready();
      await first.publish('plant/a', lines('before', 10));
      await first.mirrored(WITHIN_MS);
      await stranger.start();
      await stranger.ready();
      await stranger.publish('plant/a', lines('stranger', 10));
      const refused = await stranger.mirrorIs(({ state }) => state === 'halted', WITHIN_MS);
      expect(refused.reason).toMatch(/belongs to another data folder/u);
      await first.publish('plant/a', lines('after', 10));
      await first.mirrored(WITHIN_MS);
      expect((await first.mirror()).reconnects).toBe(0);
      expect((await readCentral(first)).values).toEqual([
        ...lines('before', 10),
        ...lines('after', 10),
      ]);
    } finally {
      await first.end();
      await stranger.end();
    }
  });
});
