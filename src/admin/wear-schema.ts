import { AMOUNT, type Form, objectOf, orNull, TEXT } from './schema-forms.ts';
import type { WearStatus } from './wear-status.ts';

const DEVICE: Form = objectOf<NonNullable<WearStatus['device']>>({
  volume: [TEXT, 'Such as mmcblk0p2.'],
  disk: [TEXT, 'The whole of it, such as mmcblk0.'],
});

/** How much is written; null: the kernel does not tell, or there is nothing to divide by. */
export const WEAR_FORM: Form = objectOf<WearStatus>({
  windowMs: [AMOUNT, 'What the figures were measured over, a day at most.'],
  device: [orNull(DEVICE), 'What the data folder is on.'],
  deviceUnknown: [orNull(TEXT), 'Why that is not known.'],
  processBytesPerDay: [orNull(AMOUNT), 'By the agent.'],
  volumeBytesPerDay: [orNull(AMOUNT), 'To the volume, by everybody.'],
  diskBytesPerDay: [orNull(AMOUNT), 'To the whole disk, by everybody.'],
  payloadBytesPerDay: [AMOUNT, 'Keys, values and headers.'],
  processAmplification: [orNull(AMOUNT), 'Written by the agent for each byte of these.'],
  diskAmplification: [orNull(AMOUNT), 'Written to the disk for each.'],
  commitsPerSecond: [AMOUNT, 'In the last seconds.'],
  syncsPerSecond: [AMOUNT, 'Likewise; those of positions count too.'],
  lingerMs: [AMOUNT, 'How long a commit waits for company at present.'],
  budgetBytes: [orNull(AMOUNT), 'store.wear.budget.'],
  budgetLevel: [orNull(AMOUNT), 'What is left of it, from 1 to 0.'],
  ratingBytes: [orNull(AMOUNT), 'store.wear.rating.'],
  ratingYears: [orNull(AMOUNT), 'How long that lasts at this pace.'],
});
