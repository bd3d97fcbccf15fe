/** Server-sent events as they come, as a browser reads them. */
export class EventReader {
  readonly #reader: ReadableStreamDefaultReader<string>;
  readonly #gone: AbortController;
  #text = '';

  private constructor(reader: ReadableStreamDefaultReader<string>, gone: AbortController) {
    this.#reader = reader;
    this.#gone = gone;
  }

  static async open(url: string, headers: Record<string, string> = {}): Promise<EventReader> {
    const gone = new AbortController();
    const accept = { accept: 'text/event-stream', ...headers };
    const { body, status } = await fetch(url, { headers: accept, signal: gone.signal });
    if (status !== 200 || body === null) throw new Error(`${url} answered ${status}`);
    return new EventReader(body.pipeThrough(new TextDecoderStream()).getReader(), gone);
  }

  /** The data of the next event of that kind; those between are passed over. */
  async next(kind: string): Promise<unknown> {
    for (;;) {
      const end = this.#text.indexOf('\n\n');
      if (end < 0) {
        const { value, done } = await this.#reader.read();
        if (done) throw new Error(`the stream ended before ${kind} came`);
        this.#text += value;
        continue;
      }
      const frame = this.#text.slice(0, end).split('\n');
      this.#text = this.#text.slice(end + 2);
      if (!frame.includes(`event: ${kind}`)) continue;
      const data = frame.find((line) => line.startsWith('data: ')) ?? 'data: null';
      return JSON.parse(data.slice(6));
    }
  }

  close(): void {
    this.#gone.abort();
  }
}
