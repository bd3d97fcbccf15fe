import type { ClientList, ClientStatus } from '../admin/client-status.ts';
import type { AgentStatus } from '../admin/status.ts';
import { askJson } from './api.ts';
import { part, setHidden, setText } from './dom.ts';
import { count, counted, shortMoment } from './format.ts';
import { KeyedTable } from './keyed-table.ts';

const SHOWN = 100;
const EVERY_MS = 5000;

/** Who is connected: looked at while somebody looks at it. */
export class Clients {
  readonly #table = new KeyedTable<ClientStatus>(
    part('clients'),
    CLIENT_COLUMNS,
    ({ client, since }) => `${since} ${client}`,
  );

  constructor() {
    setInterval(() => {
      if (!document.hidden && !part('body').hidden) void this.look();
    }, EVERY_MS);
  }

  show({ ingest }: AgentStatus): void {
    const now = ingest === null ? '–' : counted(ingest.connections, 'client');
    const rest =
      ingest === null
        ? ''
        : `${count(ingest.connectionsTotal)} since start, ${count(ingest.connectionsRefused)} refused, ${count(ingest.violations)} ended for what they sent, ${counted(ingest.sessions, 'session')} kept`;
    setText(part('clients-now'), now);
    setText(part('clients-rest'), rest);
  }

  async look(): Promise<void> {
    const list = await askJson<ClientList>(`/api/v1/clients?limit=${SHOWN}`).catch(() => undefined);
    if (list === undefined) return;
    this.#table.show(list.clients);
    setHidden(part('clients-table'), list.clients.length === 0);
    setText(part('clients-note'), noteOf(list));
  }
}

function noteOf({ total, clients }: ClientList): string {
  if (total === 0) return 'nobody is connected';
  const more = total - clients.length;
  return more > 0 ? `and ${count(more)} more` : '';
}

const CLIENT_COLUMNS = [
  { head: 'client', text: ({ client }: ClientStatus) => client },
  { head: 'user', text: ({ user }: ClientStatus) => user ?? 'without a name' },
  { head: 'from', text: ({ from }: ClientStatus) => from ?? 'this machine' },
  { head: 'MQTT', text: ({ protocol }: ClientStatus) => protocol },
  { head: 'since', text: ({ since }: ClientStatus) => shortMoment(since) },
  { head: 'session', text: ({ lasting }: ClientStatus) => (lasting ? 'kept' : 'ends with it') },
] as const;
