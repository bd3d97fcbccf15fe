import path from 'node:path';
import { z } from 'zod';
import { GatelogError, type Place } from '../errors.ts';
import { rolesSection, ruleListSection } from './config-acl.ts';
import { checkAclRules } from './config-acl-rules.ts';
import { type DataPath, type Problem, readConfigDocument } from './config-document.ts';
import { section } from './config-leaves.ts';
import { formatProblem, problemsOf } from './config-problems.ts';
import type { AclConfig, AclRule } from './config-types.ts';

/** A file of rules, `mqtt.aclFile`: `acl` and `roles` in the form that they have in the configuration. */
export interface AclFileContent {
  readonly acl: readonly AclRule[];
  readonly roles: AclConfig['roles'];
}

const fileSchema: z.ZodType<AclFileContent> = section({
  acl: ruleListSection,
  roles: rolesSection,
});

export interface LoadedAclFile {
  readonly content: AclFileContent;
  readonly placeOf: (at: DataPath) => Place;
}

/** Throws CONFIG_INVALID with a line for each problem. `anyRole`: tokens may name roles that no file does. */
export function parseAclFile(text: string, file: string, anyRole: boolean): LoadedAclFile {
  const document = readConfigDocument(text, file, { env: {}, folder: path.dirname(file) });
  const shape = fileSchema.safeParse(document.value);
  const problems: Problem[] = [...document.problems];
  if (!shape.success) {
    if (problems.length === 0) {
      problems.push(...problemsOf(shape.error.issues, document, fileSchema));
    }
    throw invalid(problems);
  }
  checkAclRules(shape.data, [], anyRole, (at, message) => {
    problems.push({ place: document.placeOf(at), message });
  });
  if (problems.length > 0) throw invalid(problems);
  return { content: shape.data, placeOf: (at) => document.placeOf(at) };
}

function invalid(problems: readonly Problem[]): GatelogError {
  const [first] = problems.map(({ place }) => place);
  const lines = [...new Set(problems.map((problem) => formatProblem(problem)))];
  const where = first === undefined ? {} : { place: first };
  return new GatelogError('CONFIG_INVALID', lines.join('\n'), where);
}

/** Rules have no order, so those of both count; first those of the configuration. */
export function withAclFile(
  { acl, roles }: AclFileContent,
  file: AclFileContent | undefined,
): AclFileContent {
  if (file === undefined) return { acl, roles };
  const names = new Set([...roles.keys(), ...file.roles.keys()]);
  const both = [...names].map((role): [string, readonly string[]] => [
    role,
    [...(roles.get(role) ?? []), ...(file.roles.get(role) ?? [])],
  ]);
  return { acl: [...acl, ...file.acl], roles: new Map(both) };
}
