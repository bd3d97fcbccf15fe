/** A certificate that listeners show to devices. Times are ISO 8601 in UTC. */
export interface CertificateStatus {
  /** Its PEM file. */
  readonly file: string;
  /** Addresses that use it. */
  readonly listeners: readonly string[];
  /** When it, or the first of those that stand in its file with it, is good no longer. */
  readonly expiresAt: string;
  /** By this machine's clock; negative: it has expired. */
  readonly expiresInMs: number;
  /** Good, or less than 30 days to go, or none. */
  readonly state: 'good' | 'expiring' | 'expired';
  /** Why newer files are not used; null: what stands in the files is in use. */
  readonly trouble: string | null;
  /** Since when that is so, by this machine's clock; null without a trouble. */
  readonly troubleSince: string | null;
}

/** MQTT and HTTP may show one certificate: it is one, and stands in the metrics once. Of two looks the worse counts. */
export function byFile(all: readonly CertificateStatus[]): CertificateStatus[] {
  return [...Map.groupBy(all, ({ file }) => file).values()].flatMap((same) => {
    const [first] = same.toSorted((one, other) => one.expiresInMs - other.expiresInMs);
    if (first === undefined) return [];
    const { trouble, troubleSince } = same.find((one) => one.trouble !== null) ?? first;
    const listeners = same.flatMap((one) => one.listeners);
    return [{ ...first, listeners, trouble, troubleSince }];
  });
}
