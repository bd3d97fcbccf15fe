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
