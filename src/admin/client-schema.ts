import type { ClientList, ClientStatus } from './client-status.ts';
import {
  arrayOf,
  COUNT,
  FLAG,
  type Form,
  objectOf,
  oneOf,
  orNull,
  TEXT,
  TIME,
} from './schema-forms.ts';

const CLIENT: Form = objectOf<ClientStatus>({
  client: [TEXT, 'Its id, shortened.'],
  user: [orNull(TEXT), 'null: it gave no name, and needed none.'],
  from: [orNull(TEXT), 'Its address; null: a Unix socket.'],
  protocol: [oneOf(['3.1', '3.1.1', '5']), 'MQTT’s version.'],
  since: [TIME, 'When it came.'],
  lasting: [FLAG, 'Its session outlives the connection.'],
});

export const CLIENTS_FORM: Form = objectOf<ClientList>({
  total: [COUNT, 'Those that are connected.'],
  clients: [arrayOf(CLIENT), 'As many of them as were asked for.'],
});
