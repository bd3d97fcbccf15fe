import { aborted } from '../../abort.ts';
import type { StreamId } from '../../record.ts';
import { isEmpty, type MirrorBatch, type MirrorCursor, NOTHING } from '../mirror-cursor.ts';
import type { TopicClass } from '../selection.ts';
import type { Admission } from './admission.ts';

export interface PolicyCursorOptions {
  readonly inner: MirrorCursor;
  readonly classOf: (stream: StreamId) => TopicClass;
  /** Ends with the session. */
  readonly signal: AbortSignal;
  readonly admission: Admission;
  /** Resolves when the next batch may begin by the rate, or the session ends. */
  readonly rested: () => Promise<void>;
}

type Limits = Parameters<MirrorCursor['next']>[0];

/**
 * Gives a session its batches as a link's policy lets them begin. One that may not is never handed out,
 * and nothing behind it: the session is ended then, and the next one reads it anew.
 */
export class PolicyCursor implements MirrorCursor {
  readonly #options: PolicyCursorOptions;

  constructor(options: PolicyCursorOptions) {
    this.#options = options;
  }

  async next(limits: Limits): Promise<MirrorBatch> {
    const { inner, classOf, signal, admission, rested } = this.#options;
    await rested();
    if (signal.aborted) return NOTHING;
    const batch = await inner.next(limits);
    if (isEmpty(batch)) return batch;
    const classes = new Set(streamsOf(batch).map(classOf));
    if (await admission.admit(batch, classes, signal)) return batch;
    await aborted(signal);
    return NOTHING;
  }

  wait(signal: AbortSignal): Promise<void> {
    return this.#options.inner.wait(signal);
  }

  close(): Promise<void> {
    return this.#options.inner.close();
  }
}

/** Also of what it only tells: that the far side has to be told costs as much as a small batch. */
function streamsOf({ slices, gaps, expired, sampled, resumed }: MirrorBatch): StreamId[] {
  const told = [slices, gaps, expired ?? [], sampled ?? [], resumed ?? []];
  return told.flatMap((parts) => parts.map(({ stream }) => stream));
}
