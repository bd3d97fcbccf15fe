import { type ErrorCode, GatelogError } from '../../errors.ts';

/** Trouble of one topic: the others can go on. `topic` is the local topic's name. */
export class TopicTrouble extends GatelogError {
  readonly topic: string;
  /** Of other topics, found by the same question. */
  readonly others: readonly TopicTrouble[];

  constructor(
    code: ErrorCode,
    topic: string,
    message: string,
    others: readonly TopicTrouble[] = [],
  ) {
    super(code, message);
    this.topic = topic;
    this.others = others;
  }

  with(others: readonly TopicTrouble[]): TopicTrouble {
    return new TopicTrouble(this.code, this.topic, this.message, others);
  }
}
