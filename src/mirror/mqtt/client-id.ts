interface Client {
  readonly clientId?: string | undefined;
  readonly gateway: string;
}

/** By which an MQTT broker knows a mirror. Loads no client, so whoever only compares them may ask. */
export function clientIdOf({ clientId, gateway }: Client): string {
  return clientId ?? `gatelog-${gateway}`;
}
