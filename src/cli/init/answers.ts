/** What `gatelog init` was told, by flags or by a person; everything in it was looked at. */
export interface InitAnswers {
  readonly gateway: string;
  /** undefined: `gatelog-data` where gatelog is started. */
  readonly data: string | undefined;
  /** Addresses as the configuration has them. */
  readonly listen: readonly string[];
  /** Paths of PEM files, for mqtts and wss. */
  readonly serverTls: { readonly cert: string; readonly key: string } | undefined;
  readonly users: readonly InitUser[];
  readonly allowAnonymous: boolean;
  readonly acl: InitAcl;
  /** Of these one at most. */
  readonly kafka: InitKafka | undefined;
  readonly mqtt: InitMqtt | undefined;
}

export const INIT_ACLS = ['own', 'open'] as const;
export type InitAcl = (typeof INIT_ACLS)[number];

export interface InitUser {
  readonly name: string;
  readonly password: Buffer;
  /** It is told once, for nobody else knows it. */
  readonly isMade: boolean;
}

export const INIT_MECHANISMS = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const;
export type InitMechanism = (typeof INIT_MECHANISMS)[number];

export interface InitKafka {
  readonly brokers: readonly string[];
  /** `ca`: the path of a PEM file; undefined: the system's authorities. */
  readonly tls: { readonly ca: string | undefined } | undefined;
  readonly login: InitLogin | undefined;
}

/** A central gatelog, or another MQTT broker. */
export interface InitMqtt {
  readonly url: string;
  /** The path of a PEM file; undefined: the system's authorities, where the address has TLS. */
  readonly ca: string | undefined;
  readonly login: InitAccount | undefined;
}

/** Who the gateway is at its far side. */
export interface InitAccount {
  readonly username: string;
  /** A text goes into a file of its own beside the configuration; else it stands in that file already. */
  readonly password: { readonly text: string } | { readonly file: string };
}

export interface InitLogin extends InitAccount {
  readonly mechanism: InitMechanism;
}
