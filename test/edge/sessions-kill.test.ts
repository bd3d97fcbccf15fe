import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RawDevice } from '../support/mqtt-raw.ts';
import { AgentProcess } from '../support/hunt/agent-process.ts';
import { inWorkFolder } from '../support/hunt/work-folder.ts';
import { freePorts } from '../support/ports.ts';

const EARS = { clientId: 'ears', clean: false };

async function dialled(port: number, fields: Record<string, unknown>): Promise<RawDevice> {
  let device: RawDevice | undefined;
  await expect
    .poll(
      async () => {
        device = await RawDevice.connect(port, 4, fields).catch(() => undefined);
        return device;
      },
      { timeout: 30_000 },
    )
    .toBeDefined();
  return device as RawDevice;
}

function heard(device: RawDevice): string[] {
  return device.packets.flatMap((one) =>
    one.cmd === 'publish' ? [`${one.topic} ${one.payload.length}`] : [],
  );
}

test('SIGKILL of the agent: sessions, what is queued for them and retained messages are there', async () => {
  await inWorkFolder('sessions', async (folder) => {
    const [port = 0] = await freePorts(1);
    const config = join(folder, 'gatelog.yaml');
    const listen = `mqtt: { listen: ["mqtt://127.0.0.1:${port}"] }`;
    const routes = 'routes: [{ match: "#", topic: telemetry }]';
    writeFileSync(config, `gateway: gw\ndata: ${join(folder, 'data')}\n${listen}\n${routes}\n`);
    const start = (): Promise<AgentProcess> =>
      AgentProcess.start({ config, logFile: join(folder, 'agent.log') });
    let agent = await start();
    try {
      const ears = await dialled(port, EARS);
      ears.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a/#', qos: 1 }] });
      await ears.until(() => ears.ids('suback').length === 1);
      ears.close();
      const source = await dialled(port, { clientId: 'source' });
      source.send(
        source.publish('a/small', 'x', 1, 1),
        source.publish('a/large', Buffer.alloc(50_000), 2, 2),
        source.publish('b', 'kept', 1, 3, { retain: true }),
      );
      await source.until(() => source.ids('puback').length + source.ids('pubrec').length === 3);
      await agent.kill();
      agent = await start();
      const back = await dialled(port, EARS);
      expect(back.last('connack')?.['sessionPresent']).toBe(true);
      await back.until(() => heard(back).length === 2);
      back.send({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: 'b', qos: 1 }] });
      await back.until(() => heard(back).length === 3);
      expect(heard(back)).toEqual(['a/small 1', 'a/large 50000', 'b 4']);
    } finally {
      await agent.kill();
    }
  });
});
