import type { Socket } from 'node:net';
import type { DeviceStream } from './broker-door.ts';

/** What went over all connections since start: packets, and bytes of their sockets. */
export class Traffic {
  connects: number = 0;
  received: number = 0;
  publishesReceived: number = 0;
  sent: number = 0;
  publishesSent: number = 0;
  publishBytesSent: number = 0;
  /** Told how many connections there are when there is another one. */
  onConnections: (count: number) => void = () => {};
  readonly #sockets = new Set<Socket>();
  #bytesReceived = 0;
  #bytesSent = 0;

  /** A packet came. */
  took(isPublish: boolean): void {
    this.received++;
    if (isPublish) this.publishesReceived++;
  }

  /** A message leaves, with so much payload. */
  gave(payloadBytes: number): void {
    this.sent++;
    this.publishesSent++;
    this.publishBytesSent += payloadBytes;
  }

  /** The socket counts by itself; it is asked when somebody wants to know, and when it ends. */
  watch(stream: DeviceStream): void {
    const socket = (stream.beneath ?? stream) as Socket;
    this.#sockets.add(socket);
    this.onConnections(this.#sockets.size);
    stream.once('close', () => {
      this.#sockets.delete(socket);
      this.#bytesReceived += socket.bytesRead;
      this.#bytesSent += socket.bytesWritten;
    });
  }

  bytes(): { readonly received: number; readonly sent: number } {
    let [received, sent] = [this.#bytesReceived, this.#bytesSent];
    for (const { bytesRead, bytesWritten } of this.#sockets) {
      received += bytesRead;
      sent += bytesWritten;
    }
    return { received, sent };
  }
}
