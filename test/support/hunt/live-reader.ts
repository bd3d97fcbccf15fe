import { type ClientRequest, request } from 'node:http';
import { join } from 'node:path';
import { idOf } from './messages.ts';

export interface Sighting {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly id: string;
}

interface Line {
  readonly partition: number;
  readonly offset: number;
  readonly value?: string;
  readonly valueBase64?: string;
}

/**
 * Follows a topic beside the running agent until that is killed. What it was shown must be in the
 * log for ever after (invariant 3: readers see only what a crash cannot take back).
 */
export class LiveReader {
  readonly sightings: Sighting[] = [];
  readonly #topic: string;
  readonly #asked: ClientRequest;
  readonly ended: Promise<void>;
  #rest = '';

  constructor(data: string, topic: string) {
    this.#topic = topic;
    const path = `/consume?topic=${topic}&from=end&follow=true`;
    this.#asked = request({ socketPath: join(data, 'agent.sock'), path }, (response) => {
      response.setEncoding('utf8');
      response.on('data', (text: string) => this.#take(text));
      response.on('error', () => {}); // the kill
    });
    this.#asked.on('error', () => {});
    this.ended = new Promise((resolve) => {
      this.#asked.once('close', () => resolve());
    });
    this.#asked.end();
  }

  close(): void {
    this.#asked.destroy();
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') continue;
      const { partition, offset, value, valueBase64 } = JSON.parse(line) as Line;
      const bytes =
        value === undefined ? Buffer.from(valueBase64 ?? '', 'base64') : Buffer.from(value);
      this.sightings.push({ topic: this.#topic, partition, offset, id: idOf(bytes) });
    }
  }
}
