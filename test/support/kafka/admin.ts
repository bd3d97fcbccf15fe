import {
  AclOperations,
  AclPermissionTypes,
  Admin,
  alterPartitionReassignmentsV0,
  Connection,
  createPartitionsV2,
  findCoordinatorV4,
  metadataV12,
  ResourcePatternTypes,
  ResourceTypes,
  type ResourceTypeValue,
} from '@platformatic/kafka';
import type { NodeState } from './state.ts';

/** Test administration, as ANONYMOUS over the plaintext listener. */
export type TestAdmin = Admin;

export function openAdmin(nodes: readonly NodeState[]): TestAdmin {
  return new Admin({
    clientId: 'gatelog-test-admin',
    bootstrapBrokers: nodes.map(({ ports }) => ({ host: '127.0.0.1', port: ports.plaintext })),
    // One attempt at a time is short: the caller decides how often to try again.
    connectTimeout: 5000,
    requestTimeout: 15_000,
    timeout: 15_000,
    retries: 3,
    retryDelay: 250,
  });
}

/** Tries again until it does not reject; the last error ends up in the time-out's. */
export async function eventually<T>(
  what: string,
  timeoutMs: number,
  attempt: () => Promise<T>,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > end)
        throw new Error(`${what}: not within ${timeoutMs} ms`, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** One request to one node; the Admin's own metadata comes from a cache and from any node. */
async function ask<T>(
  node: NodeState,
  request: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = new Connection('gatelog-test-admin', {
    connectTimeout: 2000,
    requestTimeout: 5000,
  });
  try {
    await connection.connect('127.0.0.1', node.ports.plaintext);
    return await request(connection);
  } finally {
    await connection.close();
  }
}

/**
 * Rejects unless every node answers, and each of them knows all nodes and sees every partition of
 * `topics` led and in sync everywhere. (One node alone could still be telling how it was before a
 * kill.)
 */
export async function checkHealthy(
  nodes: readonly NodeState[],
  topics: readonly string[] = [],
): Promise<void> {
  for (const node of nodes) {
    const metadata = await ask(node, (connection) =>
      metadataV12.api.async(connection, [...topics], false, false),
    );
    const { length } = metadata.brokers;
    if (length < nodes.length) throw new Error(`node ${node.id} knows ${length} brokers`);
    for (const { name, errorCode, partitions } of metadata.topics) {
      if (errorCode !== 0 || partitions.length === 0)
        throw new Error(`${name}: error ${errorCode}`);
      for (const { partitionIndex, leaderId, isrNodes, replicaNodes } of partitions) {
        const place = `${name}[${partitionIndex}] as node ${node.id} sees it`;
        if (leaderId < 0) throw new Error(`${place} has no leader`);
        if (isrNodes.length < replicaNodes.length) {
          throw new Error(`${place} has ${isrNodes.length} in sync`);
        }
      }
    }
  }
}

const READY_TOPIC = 'ready';

/**
 * Ready means: every broker is in the metadata, a topic with all replicas could be made, and the
 * two internal topics exist, so that no test pays for their making.
 */
export async function waitUntilReady(
  nodes: readonly NodeState[],
  timeoutMs: number,
): Promise<void> {
  const admin = openAdmin(nodes);
  try {
    await eventually('kafka: brokers', timeoutMs, () => checkHealthy(nodes));
    await eventually('kafka: a first topic', timeoutMs, async () => {
      const known = await admin.listTopics();
      if (known.includes(READY_TOPIC)) return;
      await admin.createTopics({ topics: [READY_TOPIC], partitions: 1, replicas: nodes.length });
    });
    await eventually('kafka: coordinators', timeoutMs, async () => {
      for (const node of nodes) {
        await ask(node, async (connection) => {
          for (const keyType of [0, 1]) {
            await findCoordinatorV4.api.async(connection, keyType, ['ready']);
          }
        });
      }
    });
    const internal = [READY_TOPIC, '__consumer_offsets', '__transaction_state'];
    await eventually('kafka: replicas', timeoutMs, () => checkHealthy(nodes, internal));
  } finally {
    await admin.close();
  }
}

export interface TopicSpec {
  readonly partitions?: number;
  readonly replicas?: number;
  readonly configs?: Readonly<Record<string, string>>;
}

/** Makes a topic and waits until every broker leads or follows its partitions. */
export async function createTopic(
  nodes: readonly NodeState[],
  name: string,
  spec: TopicSpec = {},
): Promise<void> {
  const admin = openAdmin(nodes);
  try {
    await admin.createTopics({
      topics: [name],
      partitions: spec.partitions ?? 8,
      replicas: spec.replicas ?? Math.min(3, nodes.length),
      configs: Object.entries(spec.configs ?? {}).map(([key, value]) => ({ name: key, value })),
    });
    await eventually(`kafka: topic ${name}`, 30_000, () => checkHealthy(nodes, [name]));
  } finally {
    await admin.close();
  }
}

/** More partitions, spread as the cluster likes; every node knows when resolved. */
export async function growTopic(
  nodes: readonly NodeState[],
  name: string,
  partitions: number,
): Promise<void> {
  const [node] = nodes;
  if (node === undefined) throw new Error('a cluster has nodes');
  const { api } = createPartitionsV2;
  const grown = { name, count: partitions, assignments: null };
  await ask(node, (connection) => api.async(connection, [grown], 15_000, false));
  await eventually(`kafka: ${name} grown`, 30_000, () => checkHealthy(nodes, [name]));
}

/** Every partition gets another leader, and loses the one that it has. */
export async function moveLeaders(nodes: readonly NodeState[], name: string): Promise<void> {
  const [node] = nodes;
  if (node === undefined) throw new Error('a cluster has nodes');
  const leaders = async (): Promise<readonly number[]> => {
    const metadata = await ask(node, (connection) =>
      metadataV12.api.async(connection, [name], false, false),
    );
    const partitions = metadata.topics[0]?.partitions ?? [];
    return partitions
      .toSorted((one, other) => one.partitionIndex - other.partitionIndex)
      .map(({ leaderId }) => leaderId);
  };
  const before = await leaders();
  const partitions = before.map((leader, partitionIndex) => ({
    partitionIndex,
    replicas: nodes.map(({ id }) => id).filter((id) => id !== leader),
  }));
  const { api } = alterPartitionReassignmentsV0;
  await ask(node, (connection) => api.async(connection, 15_000, false, [{ name, partitions }]));
  await eventually(`kafka: leaders of ${name} moved`, 60_000, async () => {
    const now = await leaders();
    if (now.some((leader, index) => leader < 0 || leader === before[index])) {
      throw new Error(`leaders were ${before.join()}, and are ${now.join()}`);
    }
  });
}

/** Of who calls itself so; bytes per second of Produce requests, per broker. */
export async function setProducerQuota(
  nodes: readonly NodeState[],
  clientId: string,
  bytesPerSecond: number,
): Promise<void> {
  const admin = openAdmin(nodes);
  try {
    const op = { key: 'producer_byte_rate', value: bytesPerSecond, remove: false } as const;
    const entities = [{ entityType: 'client-id', entityName: clientId } as const];
    await admin.alterClientQuotas({ entries: [{ entities, ops: [op] }] });
  } finally {
    await admin.close();
  }
}

type Resource = 'topic' | 'group' | 'cluster' | 'transactionalId';

const RESOURCES: Readonly<Record<Resource, ResourceTypeValue>> = {
  topic: ResourceTypes.TOPIC,
  group: ResourceTypes.GROUP,
  cluster: ResourceTypes.CLUSTER,
  transactionalId: ResourceTypes.TRANSACTIONAL_ID,
};

export interface Grant {
  readonly resource: Resource;
  /** A trailing `*` makes it a prefix; `*` alone means every name. */
  readonly name: string;
  readonly operations: readonly (keyof typeof AclOperations)[];
  /** Refuses instead of allowing. */
  readonly deny?: boolean;
}

export async function grant(
  nodes: readonly NodeState[],
  user: string,
  grants: readonly Grant[],
): Promise<void> {
  const admin = openAdmin(nodes);
  try {
    await admin.createAcls({
      creations: grants.flatMap(({ resource, name, operations, deny }) => {
        const prefixed = name.length > 1 && name.endsWith('*');
        return operations.map((operation) => ({
          resourceType: RESOURCES[resource],
          resourceName: prefixed ? name.slice(0, -1) : name,
          resourcePatternType: prefixed
            ? ResourcePatternTypes.PREFIXED
            : ResourcePatternTypes.LITERAL,
          principal: `User:${user}`,
          host: '*',
          operation: AclOperations[operation],
          permissionType: deny === true ? AclPermissionTypes.DENY : AclPermissionTypes.ALLOW,
        }));
      }),
    });
  } finally {
    await admin.close();
  }
}

/** Takes every rule about a user away again. */
export async function revokeAll(nodes: readonly NodeState[], user: string): Promise<void> {
  const admin = openAdmin(nodes);
  try {
    await admin.deleteAcls({
      filters: [
        {
          resourceType: ResourceTypes.ANY,
          resourceName: null,
          resourcePatternType: ResourcePatternTypes.ANY,
          principal: `User:${user}`,
          host: null,
          operation: AclOperations.ANY,
          permissionType: AclPermissionTypes.ANY,
        },
      ],
    });
  } finally {
    await admin.close();
  }
}

export interface GatewayRights {
  readonly transactionalId: string;
  readonly group: string;
  readonly positionsTopic: string;
  readonly topics: readonly string[];
  /** May make its topics itself. */
  readonly create?: boolean;
  /** Its own transactional id and no more. */
  readonly single?: boolean;
}

/** The least that a gateway needs to mirror exactly once. */
export function gatewayGrants(rights: GatewayRights): Grant[] {
  const create: Grant['operations'] = rights.create === true ? ['CREATE'] : [];
  return [
    {
      resource: 'transactionalId',
      // With a number behind it, too; see src/mirror/kafka/ring.ts.
      name: rights.single === true ? rights.transactionalId : `${rights.transactionalId}*`,
      operations: ['WRITE', 'DESCRIBE'],
    },
    { resource: 'group', name: rights.group, operations: ['READ'] },
    { resource: 'topic', name: rights.positionsTopic, operations: ['READ', ...create] },
    ...rights.topics.map((name) => ({
      resource: 'topic' as const,
      name,
      operations: ['WRITE', 'DESCRIBE', ...create] as Grant['operations'],
    })),
  ];
}
