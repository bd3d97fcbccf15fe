/** Bounds of export files (sizes in bytes). */
export const EXPORT_LIMITS = {
  /** One frame: records of one read, or one largest record. */
  frameBytes: 33_554_432, // 32 MiB
  /** Records and their bytes in one frame, before compression. */
  pieceRecords: 10_000,
  pieceBytes: 1_048_576, // 1 MiB
  /** A file is sealed at this size, and the next one begun: FAT32 takes no 4 GiB. */
  fileBytes: 268_435_456, // 256 MiB
  /** Read of a file at once. */
  readBytes: 1_048_576, // 1 MiB
  /** Records and bytes handed to Kafka at once. */
  batchRecords: 32_768,
  batchBytes: 4_194_304, // 4 MiB
  /**
   * An import ends over errors that pass when nothing got through for so long: a broker that is started
   * anew or whose partitions move takes part of it.
   */
  importPatienceMs: 120_000,
  /** The longest wait between two tries of it: a person watches. */
  importBackoffMaxMs: 10_000,
} as const;
