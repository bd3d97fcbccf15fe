import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { GatelogError, messageOf, systemCodeOf } from '../../errors.ts';
import { makeFolders } from '../../make-folders.ts';
import type { Random } from '../../random.ts';

/** Where the demo keeps its agents' data, configurations and logs. */
export interface DemoFolder {
  readonly root: string;
  readonly edge: string;
  readonly central: string;
  /**
   * Id of the demo's gateway: kept with the folder, so that a later run goes on with it, and with
   * a random part, so that two people's demos can share one Kafka cluster.
   */
  readonly gateway: string;
  /** The folder holds an earlier run. */
  readonly continued: boolean;
}

const NOTE = 'demo.json';
const GATEWAY = /^demo-[0-9a-f]{6}$/u;

/** Opens the folder, or makes it. Throws STORE_UNAVAILABLE when that is not possible. */
export async function openDemoFolder(root: string, random: Random): Promise<DemoFolder> {
  const edge = path.join(root, 'edge');
  const central = path.join(root, 'central');
  try {
    await makeFolders(root);
    const known = await readGateway(path.join(root, NOTE));
    const gateway = known ?? `demo-${random.hex(3)}`;
    if (known === undefined) {
      await writeFile(path.join(root, NOTE), `${JSON.stringify({ gateway })}\n`);
    }
    return { root, edge, central, gateway, continued: known !== undefined };
  } catch (error) {
    throw new GatelogError(
      'STORE_UNAVAILABLE',
      `the demo's folder ${root} can't be used (${messageOf(error)}); choose another with --data DIR`,
      { cause: error },
    );
  }
}

async function readGateway(file: string): Promise<string | undefined> {
  try {
    const note: unknown = JSON.parse(await readFile(file, 'utf8'));
    if (typeof note !== 'object' || note === null || !('gateway' in note)) return undefined;
    const { gateway } = note;
    return typeof gateway === 'string' && GATEWAY.test(gateway) ? gateway : undefined;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export interface EdgeConfig {
  readonly folder: DemoFolder;
  readonly port: number;
  readonly upstream:
    | { readonly kind: 'gatelog'; readonly port: number }
    | { readonly kind: 'kafka'; readonly brokers: readonly string[] };
}

const HEAD = '# Written by `gatelog demo` at every start; what is changed here is lost.\n';

/** The mirror's name, in both kinds of demo. */
export function mirrorName(upstream: EdgeConfig['upstream']): string {
  return upstream.kind === 'kafka' ? 'kafka' : 'central';
}

export function edgeConfig({ folder, port, upstream }: EdgeConfig): string {
  const target =
    upstream.kind === 'kafka'
      ? `    kafka:
      brokers: ${JSON.stringify(upstream.brokers)}
`
      : `    mqtt:
      url: mqtt://127.0.0.1:${upstream.port}
      connectTimeout: 3s
`;
  return `${HEAD}
gateway: ${folder.gateway}
data: ${JSON.stringify(folder.edge)}
log: { format: json }
mqtt:
  listen: ["mqtt://127.0.0.1:${port}"]
topics:
  telemetry:
    partitions: 8
    # Shorter than the central's, so that what the edge has can be looked for there.
    retention: { time: 1d, bytes: 256MiB }
mirrors:
  ${mirrorName(upstream)}:
${target}`;
}

export function centralConfig(folder: DemoFolder, port: number): string {
  return `${HEAD}
gateway: ${folder.gateway}-central
data: ${JSON.stringify(folder.central)}
log: { format: json }
http: false
mqtt:
  listen: ["mqtt://127.0.0.1:${port}"]
  central: true
topics:
  telemetry:
    partitions: 8
    retention: { time: 7d, bytes: 2GiB }
`;
}
