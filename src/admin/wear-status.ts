/**
 * How much is written to the card or disk, from the last day or as much as there is. Rates are for
 * a whole day at the same pace. null: the kernel does not tell, or there is nothing to divide by.
 */
export interface WearStatus {
  /** What the figures were measured over; restarts between count. */
  readonly windowMs: number;
  /** What the data folder is on, such as mmcblk0p2, and the whole disk, such as mmcblk0. */
  readonly device: { readonly volume: string; readonly disk: string } | null;
  /** Why `device` is not known. */
  readonly deviceUnknown: string | null;
  /** By this process; without the file system's journal. */
  readonly processBytesPerDay: number | null;
  /** To the volume and to the whole disk, by everybody. */
  readonly volumeBytesPerDay: number | null;
  readonly diskBytesPerDay: number | null;
  /** Keys, values and headers appended. */
  readonly payloadBytesPerDay: number;
  /** Bytes written for each byte of payload. */
  readonly processAmplification: number | null;
  readonly diskAmplification: number | null;
  /** Since the last look, at most LIMITS.wearSampleMs ago. Syncs of positions count too. */
  readonly commitsPerSecond: number;
  readonly syncsPerSecond: number;
  /** How long a commit waits for company at present. */
  readonly lingerMs: number;
  readonly budgetBytes: number | null;
  /** From 1, all of the allowance is left, to 0. */
  readonly budgetLevel: number | null;
  readonly ratingBytes: number | null;
  /** How long the rating lasts at this rate: that of the disk, or of the process where it is unknown. */
  readonly ratingYears: number | null;
}
