import { createServer } from 'node:net';
import { ControlClient } from '../../admin/control-client.ts';
import { parseListen } from '../../agent/listen-address.ts';
import type { Config } from '../../agent/config-types.ts';
import { listenTrouble } from '../../agent/listen-trouble.ts';
import { systemCodeOf } from '../../errors.ts';
import type { WayStep } from '../../mirror/way.ts';
import type { Clock } from '../../time.ts';
import { upstreamWay } from '../upstream-way.ts';

/** Tries what the configuration says before it is written: whether devices could come, and records go. */
export async function* trial(config: Config, clock: Clock): AsyncGenerator<WayStep, void, void> {
  for (const { url } of config.mqtt.listen) yield await listenStep(url, config.data);
  for (const mirror of Object.values(config.mirrors)) yield* upstreamWay(config, mirror, clock);
}

async function listenStep(url: string, data: string): Promise<WayStep> {
  const name = 'listen';
  const address = parseListen(url);
  if (address === undefined || address.kind === 'unix') {
    return { name, state: 'good', text: `${url} (tried when gatelog starts)` };
  }
  try {
    await listenOnce(address.host, address.port);
    return { name, state: 'good', text: `${url} is free` };
  } catch (error) {
    if (systemCodeOf(error) === 'EADDRINUSE' && (await isOurs(address.port, data))) {
      const text = `${url}: the agent that runs on ${data} listens there; a restart gives it to the new configuration`;
      return { name, state: 'good', text };
    }
    return { name, state: 'failed', text: `${url}: ${listenTrouble(error, address)}` };
  }
}

/** As after an installation, which starts it. */
async function isOurs(port: number, data: string): Promise<boolean> {
  try {
    const { listeners } = await new ControlClient(data).status();
    return listeners.some((url) => parseListen(url)?.port === port);
  } catch {
    return false;
  }
}

function listenOnce(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host, port }, () => server.close(() => resolve()));
  });
}
