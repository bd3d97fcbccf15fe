import type { AgentEvent } from './event-book.ts';
import { COUNT, type Form, objectOf, oneOf, orNull, TEXT, TIME } from './schema-forms.ts';

/** One thing that happened. */
export const EVENT_FORM: Form = objectOf<AgentEvent>({
  id: [COUNT, 'Ascending from 1 since start; one left out was forgotten.'],
  time: [TIME, 'By this machine’s clock.'],
  level: [oneOf(['info', 'warn', 'error']), 'How bad it is.'],
  event: [TEXT, 'Its name (docs/logs.md); empty: it has none.'],
  message: [TEXT, 'A sentence.'],
  mirror: [orNull(TEXT), 'Whose it is.'],
  topic: [orNull(TEXT), 'Whose it is.'],
});
