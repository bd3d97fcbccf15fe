import { request } from 'node:http';
import { join } from 'node:path';
import type { AgentStatus } from '../../../src/admin/status.ts';

/** GET /status on a running agent's control socket. */
export function agentStatus(data: string): Promise<AgentStatus> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { socketPath: join(data, 'agent.sock'), path: '/status', timeout: 5000 },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (bytes: Buffer) => parts.push(bytes));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(parts).toString('utf8');
          if (response.statusCode === 200) resolve(JSON.parse(text) as AgentStatus);
          else reject(new Error(`GET /status: ${response.statusCode} ${text}`));
        });
      },
    );
    asked.on('timeout', () => asked.destroy(new Error('GET /status: no answer')));
    asked.on('error', reject);
    asked.end();
  });
}
