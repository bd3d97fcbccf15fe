import { API } from './frames.ts';

/** Lets everybody in at a fake broker, each login for so long, and notes who asks something meanwhile. */
export class FakeLogins {
  readonly #lifetimeMs: number;
  readonly #underWay = new Set<object>();
  readonly #held: (() => void)[] = [];
  #holds = false;
  begun = 0;
  /** Requests that came while their connection was logging in: a real broker hangs up. */
  intruders = 0;

  constructor(lifetimeMs: number) {
    this.#lifetimeMs = lifetimeMs;
  }

  /** Logins from now on are answered when they are let go. */
  hold(): void {
    this.#holds = true;
  }

  letGo(): void {
    this.#holds = false;
    for (const answer of this.#held.splice(0)) answer();
  }

  /** True: this request was one of a login, and is seen to. */
  take(
    link: object,
    apiKey: number,
    correlationId: number,
    write: (bytes: Buffer) => void,
  ): boolean {
    if (apiKey === API.SaslHandshake) {
      this.begun++;
      this.#underWay.add(link);
      write(frame(correlationId, Buffer.alloc(6))); // no error, no mechanisms
      return true;
    }
    if (apiKey === API.SaslAuthenticate) {
      const answer = (): void => {
        this.#underWay.delete(link);
        write(frame(correlationId, this.#welcome()));
      };
      if (this.#holds) this.#held.push(answer);
      else answer();
      return true;
    }
    if (this.#underWay.has(link)) this.intruders++;
    return false;
  }

  /** SaslAuthenticateResponse v2, with the tagged fields of its header. */
  #welcome(): Buffer {
    const body = Buffer.alloc(14);
    body.writeUInt8(1, 4); // then no error and no text; no bytes
    body.writeBigInt64BE(BigInt(this.#lifetimeMs), 5);
    return body;
  }
}

function frame(correlationId: number, body: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeInt32BE(body.length + 4, 0);
  head.writeInt32BE(correlationId, 4);
  return Buffer.concat([head, body]);
}
