/** What became of a configuration that was read again: in the status, and told by `gatelog reload`. */
export interface ReloadStatus {
  readonly at: string;
  /** Why nothing of it was taken, a line for each thing that is wrong; null: it was. */
  readonly refused: string | null;
  /** Options that count from then on, as `mirrors.central.kafka.sasl.password`. */
  readonly applied: readonly string[];
  /** Options that differ from what the agent runs with, and count from its next start on. */
  readonly needsRestart: readonly string[];
}
