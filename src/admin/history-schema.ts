import { FIGURES, type HistorySpan, type HistoryView } from './history.ts';
import {
  arrayOf,
  COUNT,
  type Form,
  NUMBER,
  objectOf,
  orNull,
  recordOf,
  TIME,
} from './schema-forms.ts';

const SPAN: Form = objectOf<HistorySpan>({
  stepMs: [COUNT, 'Between two figures.'],
  until: [TIME, 'When the last ones were taken.'],
  series: [recordOf(FIGURES, arrayOf(orNull(NUMBER))), 'Oldest first; null: not known then.'],
});

export const HISTORY_FORM: Form = objectOf<HistoryView>({
  hour: [SPAN, 'The last hour, by 10 s.'],
  day: [SPAN, 'The last day, by 5 min.'],
});
