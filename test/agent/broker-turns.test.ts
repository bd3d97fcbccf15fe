import { afterEach, describe, expect, test } from 'vitest';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { payloads, publishFrom, subscribe } from '../support/mqtt-session.ts';

/** SUBSCRIBE and UNSUBSCRIBE that come in one breath mean what they say in their order. */
afterEach(stopTestBrokers);

describe.each(['a', '$share/s/a'])('%s', (topic) => {
  test.each([true, false])('clean session: %s', async (clean) => {
    const { port } = await startTestBroker();
    const fields = { clientId: 'ears', clean, properties: { sessionExpiryInterval: 60 } };
    const device = await RawDevice.connect(port, 5, clean ? { clientId: 'ears' } : fields);
    await subscribe(device, { topic, qos: 1 });
    const off = { cmd: 'unsubscribe', messageId: 1, unsubscriptions: [topic] } as const;
    const on = { cmd: 'subscribe', messageId: 2, subscriptions: [{ topic, qos: 1 }] } as const;
    device.send(off as never, on as never);
    await device.until(() => device.ids('suback').length === 2);
    await publishFrom(port, 'a', ['heard']);
    await device.ping();
    expect(payloads(device)).toEqual(['heard']);
    device.send(off as never, on as never, off as never);
    await device.until(() => device.packets.filter(({ cmd }) => cmd === 'unsuback').length === 3);
    await device.until(() => device.ids('suback').length === 3);
    await publishFrom(port, 'a', ['unheard']);
    await device.ping();
    expect(payloads(device)).toEqual(['heard']);
  });
});
