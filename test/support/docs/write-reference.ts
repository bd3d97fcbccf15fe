import { writeFileSync } from 'node:fs';
import { REFERENCE, referenceText } from './reference.ts';

/** `npm run docs:reference`. */
writeFileSync(REFERENCE, referenceText());
