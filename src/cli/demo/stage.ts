import { createWriteStream, type WriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AgentStatus } from '../../admin/status.ts';
import type { Clock } from '../../time.ts';
import { Child, type ChildEnd } from './child.ts';
import { centralConfig, type DemoFolder, edgeConfig, mirrorName } from './folder.ts';
import { Link } from './link.ts';
import { freePort } from './ports.ts';
import { Watch } from './watch.ts';

/** One agent of the demo: its process, its address, and what it says of itself. */
export interface Actor {
  readonly name: 'edge' | 'central';
  readonly child: Child;
  readonly watch: Watch;
  readonly folder: string;
  readonly port: number;
}

export interface Stage {
  readonly folder: DemoFolder;
  readonly edge: Actor;
  /** Undefined with Kafka, and then there is no link either. */
  readonly central: Actor | undefined;
  readonly link: Link | undefined;
  readonly mirror: string;
  readonly kafka: readonly string[] | undefined;
}

export interface StageOptions {
  readonly folder: DemoFolder;
  /** Wanted for the edge agent's MQTT; the next free one is taken. */
  readonly port: number;
  readonly kafka: readonly string[] | undefined;
  readonly clock: Clock;
  readonly env: NodeJS.ProcessEnv;
  /** Asks the agent of a data folder for its status. */
  readonly ask: (folder: string) => Promise<AgentStatus>;
  /** Before every question. */
  readonly onAsk: (name: Actor['name']) => void;
  /** After every answer. */
  readonly onAnswer: (name: Actor['name']) => void;
  /** The first answer after a start. */
  readonly onUp: (name: Actor['name'], again: boolean) => void;
  readonly onEnd: (name: Actor['name'], end: ChildEnd) => void;
}

/** Runs as TypeScript in a checkout and as JavaScript when built: siblings have our own suffix. */
const SUFFIX = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
const MAIN = fileURLToPath(new URL(`../../main${SUFFIX}`, import.meta.url));
const LEASH = new URL(`leash${SUFFIX}`, import.meta.url).href;

/** The agents get the memory that we were given. */
const MEMORY_FLAGS = process.execArgv.filter((flag) => /^--(?:max|heap)-/u.test(flag));

/** Sets up link and agents, central first; nothing is waited for. */
export async function openStage(options: StageOptions): Promise<Stage> {
  const { folder, kafka } = options;
  const port = await freePort(options.port);
  if (kafka !== undefined) {
    const upstream = { kind: 'kafka', brokers: kafka } as const;
    const text = edgeConfig({ folder, port, upstream });
    const edge = await openActor('edge', folder.edge, port, text, options);
    const mirror = mirrorName(upstream);
    return { folder, edge, central: undefined, link: undefined, mirror, kafka };
  }
  const centralPort = await freePort(port + 1);
  const text = centralConfig(folder, centralPort);
  const central = await openActor('central', folder.central, centralPort, text, options);
  const link = await Link.open(centralPort);
  const upstream = { kind: 'gatelog', port: link.port } as const;
  const edgeText = edgeConfig({ folder, port, upstream });
  const edge = await openActor('edge', folder.edge, port, edgeText, options);
  return { folder, edge, central, link, mirror: mirrorName(upstream), kafka };
}

async function openActor(
  name: Actor['name'],
  dataFolder: string,
  port: number,
  configText: string,
  options: StageOptions,
): Promise<Actor> {
  const { folder, clock, env } = options;
  const configFile = path.join(folder.root, `${name}.yaml`);
  await writeFile(configFile, configText);
  const log = openLog(path.join(folder.root, `${name}.log`));
  let times = 0;
  const child = new Child({
    command: process.execPath,
    args: [...MEMORY_FLAGS, '--import', LEASH, MAIN, 'run', '--config', configFile],
    env,
    clock,
    onOutput: (bytes) => log.write(bytes),
    onEnd: (end) => options.onEnd(name, end),
  });
  const watch = new Watch({
    ask: () => options.ask(dataFolder),
    clock,
    onAsk: () => options.onAsk(name),
    onAnswer: (status) => {
      options.onAnswer(name);
      // An answer of the process before this one may come late.
      if (child.phase !== 'starting' || status.pid !== child.pid) return;
      child.ready();
      options.onUp(name, times++ > 0);
    },
  });
  child.start();
  watch.start();
  return { name, child, watch, folder: dataFolder, port };
}

function openLog(file: string): WriteStream {
  const log = createWriteStream(file);
  // The log file is a comfort: the demo goes on without it.
  log.on('error', () => {});
  return log;
}
