import type { Socket } from 'node:net';

/**
 * RST instead of FIN, at once. Beside an end that is just being sent the system cannot reset
 * (EINVAL), and Node then neither closes the socket nor emits `close`, so that one is closed.
 */
export function resetSocket(socket: Socket): void {
  const isEnding = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
  if (isEnding || socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}
