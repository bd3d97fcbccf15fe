/**
 * Finds the one record for whose sake sessions end. A DISCONNECT names a reason (packet too large,
 * malformed, …) but not the packet; so what was in flight is sent again one at
 * a time, and the record that is alone in flight when it happens again is the one. It is then
 * refused, which puts it into quarantine, instead of ending every session for ever.
 * Lives longer than a session.
 */
export class Blame {
  /** Records still to be sent alone. */
  #suspects = 0;
  /** `stream:offset` → why it must not be sent again. */
  readonly #condemned = new Map<string, string>();

  /** Send one record at a time. */
  get careful(): boolean {
    return this.#suspects > 0;
  }

  /** The session ended over one of these (`stream:offset`, oldest first). */
  disconnected(inFlight: readonly string[], reason: string): void {
    const [only] = inFlight;
    if (only === undefined) return;
    if (inFlight.length === 1) {
      this.#condemned.set(only, `the far side ends the session when it is sent: ${reason}`);
      this.#suspects = 0;
    } else {
      this.#suspects = inFlight.length;
    }
  }

  acked(): void {
    if (this.#suspects > 0) this.#suspects--;
  }

  /** The reason why this record must be refused, given once. */
  take(record: string): string | undefined {
    if (this.#condemned.size === 0) return undefined;
    const reason = this.#condemned.get(record);
    this.#condemned.delete(record);
    return reason;
  }
}
