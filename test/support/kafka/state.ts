import type { Certificates } from './certificates.ts';

/** What `.cache/kafka/run/<id>/cluster.json` holds: everything needed to use a running cluster. */
export interface NodePorts {
  readonly controller: number;
  /** Test administration and traffic between brokers; ANONYMOUS is super user, only here. */
  readonly plaintext: number;
  /** SASL_PLAINTEXT: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER (unsecured JWS). */
  readonly sasl: number;
  /** SASL_SSL, the same mechanisms; no client certificate asked for. */
  readonly saslSsl: number;
  /** SSL, client certificate required; its CN is the principal. */
  readonly ssl: number;
  /** As `sasl`, but advertised as `proxy`: reach it by a proxy listening there. */
  readonly proxied: number;
  /** Nobody listens here: a test's own proxy does, and forwards to `proxied`. */
  readonly proxy: number;
}

export interface NodeState {
  readonly id: number;
  readonly folder: string;
  readonly ports: NodePorts;
}

export interface User {
  readonly name: string;
  readonly password: string;
}

export interface ClusterState {
  readonly id: string;
  readonly folder: string;
  readonly version: string;
  readonly clusterId: string;
  /** HTTP on loopback: POST /kill/N, /stop/N, /cont/N, /start/N. */
  readonly controlPort: number;
  readonly supervisorPid: number;
  readonly nodes: readonly NodeState[];
  /** `gw` is the agent's principal (rights are granted by the tests); `nobody` may log in, no more. */
  readonly users: { readonly gw: User; readonly nobody: User };
  readonly certificates: Certificates;
  readonly startMs: { readonly format: number; readonly ready: number };
}

export interface SupervisorOptions {
  readonly id: string;
  readonly nodes: number;
  readonly heapMiB: number;
  /** More lines of server.properties, the later value of a key wins. */
  readonly properties: Readonly<Record<string, string>>;
  /** More flags of the brokers' JVMs. */
  readonly jvm: readonly string[];
}

/** The names of the listeners, as they stand in server.properties. */
export const LISTENERS = ['plaintext', 'sasl', 'saslSsl', 'ssl', 'proxied'] as const;
export type Listener = (typeof LISTENERS)[number];
