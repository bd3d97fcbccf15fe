/** Those who wait for the durable end to move. Woken by the writer; nobody polls. */
export class Waiters {
  readonly #waiting = new Set<() => void>();

  /** Resolves when `ready` holds after a wake, or when `signal` aborts. */
  until(ready: () => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#waiting.delete(check);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const check = (): void => {
        if (ready()) end();
      };
      this.#waiting.add(check);
      signal.addEventListener('abort', end, { once: true });
    });
  }

  wake(): void {
    if (this.#waiting.size === 0) return;
    for (const check of this.#waiting) check();
  }
}
