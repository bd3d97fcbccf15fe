import { createServer } from 'node:net';
import { ControlClient } from '../../admin/control-client.ts';
import { parseListen } from '../../agent/listen-address.ts';
import type { LoadedConfig } from '../../agent/config.ts';
import type { Config } from '../../agent/config-types.ts';
import { listenTrouble } from '../../agent/listen-trouble.ts';
import { systemCodeOf } from '../../errors.ts';
import type { WayStep } from '../../mirror/way.ts';
import type { Clock } from '../../time.ts';
import { counted } from '../../words.ts';
import { serviceReader, unreadableFiles } from '../service-reader.ts';
import { upstreamWay } from '../upstream-way.ts';

/** Tries what the configuration says before it is written: whether devices could come, and records go. */
export async function* trial(
  loaded: LoadedConfig,
  clock: Clock,
): AsyncGenerator<WayStep, void, void> {
  const { config } = loaded;
  yield* fileSteps(loaded);
  yield* nameStep(config);
  for (const { url } of config.mqtt.listen) yield await listenStep(url, config.data);
  for (const mirror of Object.values(config.mirrors)) yield* upstreamWay(config, mirror, clock);
}

/** Root reads everything; who runs the service does not. */
async function* fileSteps(loaded: LoadedConfig): AsyncGenerator<WayStep, void, void> {
  const [{ file } = { file: '' }] = loaded.files;
  const reader = await serviceReader(file, loaded.config.data);
  if (reader === undefined) return;
  for (const text of await unreadableFiles(loaded, reader)) {
    yield { name: 'file', state: 'failed', text };
  }
}

/** The log that is there may be another gateway's, as of an agent that was started before. */
async function* nameStep({ gateway, data }: Config): AsyncGenerator<WayStep, void, void> {
  const running = await new ControlClient(data).status().catch(() => undefined);
  if (running === undefined || running.gateway === gateway) return;
  const { mirrors, topics, gatewayAssumed } = running;
  const records = topics.reduce((sum, topic) => sum + topic.records, 0);
  if (gatewayAssumed && mirrors.length === 0) {
    const text = `${data} is gateway ${running.gateway}'s so far, after the host; a restart makes it ${gateway}'s, with its ${counted(records, 'record')}`;
    yield { name: 'gateway', state: 'good', text };
    return;
  }
  const text = `${data} is gateway ${running.gateway}'s: take that id, or see "Rename a gateway" in docs/operations.md`;
  yield { name: 'gateway', state: 'failed', text };
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
