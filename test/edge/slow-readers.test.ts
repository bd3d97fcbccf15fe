import { expect, test } from 'vitest';
import { inWorkFolder } from '../support/hunt/work-folder.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { Target } from '../support/attack/target.ts';

/** Subscribes to everything and never reads. */
async function deafSubscriber(port: number, index: number): Promise<RawDevice> {
  const qos = (index % 2) as 0 | 1;
  const device = await RawDevice.connect(port, 5, { clientId: `deaf-${index}`, keepalive: 0 });
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos }] });
  await device.until(() => device.ids('suback').length === 1);
  device.socket.pause();
  return device;
}

test('subscribers of everything that never read: bounded memory, and everybody else is served', async () => {
  await inWorkFolder('slow-readers', async (folder) => {
    const target = await Target.start(folder);
    try {
      const deaf: RawDevice[] = [];
      for (let index = 0; index < 20; index++) deaf.push(await deafSubscriber(target.port, index));
      const listener = await RawDevice.connect(target.port, 5, { clientId: 'listener' });
      const subscriptions = [{ topic: 'flood', qos: 1 as const }];
      listener.send({ cmd: 'subscribe', messageId: 1, subscriptions });
      const before = target.memoryKiB();
      target.takePeakKiB();
      const publisher = await RawDevice.connect(target.port, 4, { clientId: 'publisher' });
      const payload = Buffer.alloc(16_384, 'x');
      // 32 MB for each of twenty.
      for (let id = 1; id <= 2000; id++) {
        publisher.send(publisher.publish('flood', payload, 1, id));
        if (id % 50 === 0) await publisher.until(() => publisher.ids('puback').length === id);
      }
      const heard = (): number => listener.packets.filter(({ cmd }) => cmd === 'publish').length;
      await listener.until(() => heard() === 2000);
      const grownMiB = Math.round((target.takePeakKiB() - before) / 1024);
      const service = await target.service();
      console.log('slow readers:', { grownMiB, ...service });
      expect(grownMiB).toBeLessThan(128);
      // Nobody waits until aedes gives the deaf ones up, which it does after a minute.
      expect(service.max).toBeLessThan(30_000);
      for (const device of deaf) device.close();
      await target.stop();
    } finally {
      await target.kill();
    }
  });
});
