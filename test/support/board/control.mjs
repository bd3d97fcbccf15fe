/** Inside the board: runs each request's body as a shell's command, and answers with what came of it. */
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';

const ROOM = 64 * 1_048_576;

createServer(async (request, response) => {
  const command = await text(request);
  execFile('/bin/sh', ['-c', command], { maxBuffer: ROOM }, (error, stdout, stderr) => {
    response.end(JSON.stringify({ code: error === null ? 0 : (error.code ?? 1), stdout, stderr }));
  });
}).listen(9000, '0.0.0.0');
