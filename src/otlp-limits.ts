/** Bounds of what is sent to a collector of OpenTelemetry. Units stand last in the names. */
export const OTLP_LIMITS = {
  intervalMs: 60_000,
  /** The first goes so soon after a start, however long the interval is. */
  firstMs: 5000,
  /** One export, tries and waits between them included; what did not get through by then is left to the next one. */
  exportMs: 5000,
  headers: 16,
  headerBytes: 4096,
} as const;
