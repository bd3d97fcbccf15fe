import type { AedesClient } from './broker-aedes.ts';
import type { DeviceStream } from './broker-door.ts';
import { REASON } from './broker-reasons.ts';

/** It is we who leave: no will, a reason for MQTT 5, and a close that loses no bytes. */
export function sayGoodbye(client: AedesClient, socket: DeviceStream): void {
  client.will = null;
  if (client.version === 5 && client.connackSent) {
    socket.write(Buffer.from([0xe0, 2, REASON.shuttingDown, 0]));
  }
  socket.end();
  // What still comes is discarded: unread bytes would turn our close into a reset, which may
  // take acknowledgements back from the peer's buffer.
  socket.removeAllListeners('readable');
  socket.resume();
}
