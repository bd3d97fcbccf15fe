import type { z } from 'zod';
import { section, text } from './config-leaves.ts';
import type { DedupConfig } from './config-types.ts';

/** The part of the schema that says where devices put their numbers. */
const EXPECTED =
  'the name of a user property, such as "seq", of at most 100 characters and not beginning with "gatelog."';

const property = text(EXPECTED, (name) => name.length <= 100 && !name.startsWith('gatelog.'));

export const dedupSection: z.ZodType<DedupConfig | undefined> = section({
  producerProperty: property.optional(),
  sequenceProperty: property.optional(),
  epochProperty: property.optional(),
}).transform(({ producerProperty, sequenceProperty, epochProperty }, context) => {
  const names = [producerProperty, sequenceProperty, epochProperty];
  const given = names.filter((name) => name !== undefined);
  if (given.length === 0) return undefined;
  const fail = (message: string): undefined => {
    const found = given.join(', ');
    context.issues.push({ code: 'custom', message, input: undefined, params: { found } });
    return undefined;
  };
  if (producerProperty === undefined || sequenceProperty === undefined) {
    return fail('producerProperty and sequenceProperty, both or neither');
  }
  if (new Set(given).size < given.length) return fail('names that differ from each other');
  return { producerProperty, sequenceProperty, epochProperty };
});
