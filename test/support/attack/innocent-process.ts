import { RawDevice } from '../mqtt-raw.ts';

/**
 * An innocent client as a process of its own: publishes at QoS 1 every 20 ms until its input ends, each
 * message when it is due whether or not those before it were acknowledged, and says how long the
 * acknowledgements took. Ends with 1 when its connection ends or one does not come.
 *
 *   node test/support/attack/innocent-process.ts PORT
 */
const EVERY_MS = 20;
const port = Number(process.argv[2]);
const device = await RawDevice.connect(port, 5, { clientId: 'innocent', keepalive: 0 });
const sentAt = new Map<number, number>();
const latencies: number[] = [];
process.stdin.resume();
process.stdout.write('ready\n');

let seen = 0;
function collect(): void {
  for (; seen < device.packets.length; seen++) {
    const packet = device.packets[seen];
    if (packet?.cmd !== 'puback' || packet.messageId === undefined) continue;
    latencies.push(performance.now() - (sentAt.get(packet.messageId) ?? 0));
    sentAt.delete(packet.messageId);
  }
}
device.socket.on('data', () => collect());

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let sent = 0;
const begun = performance.now();
while (!process.stdin.readableEnded && !device.closed) {
  const due = Math.floor((performance.now() - begun) / EVERY_MS);
  for (; sent <= due && sentAt.size < 1000; sent++) {
    const id = (sent % 60_000) + 1;
    sentAt.set(id, performance.now());
    device.send(device.publish('innocent', `message ${sent}`, 1, id));
  }
  await pause(5);
}
const limit = performance.now() + 30_000;
while (sentAt.size > 0 && !device.closed && performance.now() < limit) await pause(5);
latencies.sort((left, right) => left - right);
const at = (share: number): number =>
  Math.round((latencies[Math.floor(share * (latencies.length - 1))] ?? 0) * 10) / 10;
const unanswered = sentAt.size;
const result = { sent, unanswered, p50: at(0.5), p99: at(0.99), max: at(1) };
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(unanswered === 0 && !device.closed ? 0 : 1);
