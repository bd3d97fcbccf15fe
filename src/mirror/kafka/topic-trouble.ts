import { type ErrorCode, GatelogError } from '../../errors.ts';

/** Trouble of one topic: the others can go on. `topic` is the local topic's name. */
export class TopicTrouble extends GatelogError {
  readonly topic: string;

  constructor(code: ErrorCode, topic: string, message: string) {
    super(code, message);
    this.topic = topic;
  }
}
