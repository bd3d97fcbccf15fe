/** Those who wait for the durable end to move. Woken by the writer; nobody polls. */
export class Waiters {
  readonly #waiting = new Set<() => void>();
  #closed = false;

  /** Resolves when `ready` holds after a wake, when `signal` aborts, or when the store closes. */
  until(ready: () => boolean, signal: AbortSignal): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        this.#waiting.delete(check);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const check = (): void => {
        if (this.#closed || ready()) end();
      };
      this.#waiting.add(check);
      signal.addEventListener('abort', end, { once: true });
    });
  }

  close(): void {
    this.#closed = true;
    this.wake();
  }

  wake(): void {
    if (this.#waiting.size === 0) return;
    for (const check of this.#waiting) check();
  }
}
