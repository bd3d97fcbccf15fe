/**
 * A device inside a test's Debian, run by the package's own Node with the package's own library:
 * `device.mjs PORT COUNT [TRIES]` publishes so many messages at QoS 1 and says when all are acknowledged.
 */
import { createRequire } from 'node:module';

const { connectAsync } = createRequire('/usr/lib/gatelog/package.json')('mqtt');
const [, , port, count, tries = '1'] = process.argv;

/** Anew where nobody listens yet. */
async function connected(left) {
  try {
    return await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 });
  } catch (error) {
    if (left <= 1) throw error;
    await new Promise((done) => setTimeout(done, 20));
    return connected(left - 1);
  }
}

const client = await connected(Number(tries));
for (let index = 0; index < Number(count); index++) {
  await client.publishAsync('plant/press-1', `value ${index}`, { qos: 1 });
}
await client.endAsync();
process.stdout.write(`acknowledged ${count}\n`);
