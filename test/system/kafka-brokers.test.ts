import { expect, test } from 'vitest';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { startFakeBroker } from '../support/kafka/fake-broker.ts';
import { freePorts } from '../support/ports.ts';
import { committed, expectExactlyOnce, newGateway } from './kafka-rig.ts';

/** Brokers of the configured list that are gone must not keep the others from serving. */
const kafka = KafkaOfFile.open();

for (const delivery of ['exactly-once', 'at-least-once'] as const) {
  test(`dead brokers first in the list do not hold it up (${delivery})`, async () => {
    const [refused = 0] = await freePorts(1);
    const silent = await startFakeBroker();
    silent.mute();
    const dead = [`127.0.0.1:${refused}`, 'no-such-host.invalid:9092', `127.0.0.1:${silent.port}`];
    const brokers = [...dead, ...kafka.cluster.bootstrap('sasl')];
    try {
      // So short that the silent one is given up before the next broker is asked. (A slow machine may fail
      // in between for want of time; what the dead ones held up would never come to an end.)
      const upstream = { brokers, delivery, requestTimeoutMs: 2000, connectTimeoutMs: 2000 };
      const gateway = await newGateway(kafka.cluster, { upstream });
      gateway.fill(200);
      await (await gateway.connectSoon()).close();
      await gateway.mirror();
      const found = await committed(kafka.cluster, gateway);
      if (delivery === 'exactly-once') expectExactlyOnce(found, gateway);
      const seen = found.map(({ headers }) => headers.at(-1)?.[1] ?? '');
      expect([...new Set(seen)].toSorted()).toEqual(gateway.identities().toSorted());
    } finally {
      await silent.close();
    }
  });
}
