/**
 * A PUBLISH as the agent's own parts pass it on. Payload and correlation data are slices of the
 * socket's buffer: they stay unchanged, and nobody keeps them after the record is settled.
 */
export type Qos = 0 | 1 | 2;

/** MQTT 5 properties of a PUBLISH that travel with the message (MQTT 5, section 3.3.2.3). */
export interface PublishProperties {
  readonly payloadFormat: boolean;
  readonly messageExpirySeconds: number | undefined;
  readonly contentType: string | undefined;
  readonly responseTopic: string | undefined;
  readonly correlationData: Uint8Array | undefined;
  /** Names and values in turn, in the order sent, repeats kept. */
  readonly user: readonly string[];
}
