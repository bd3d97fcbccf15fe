import { counted } from '../words.ts';
import { paint, printLine, type CliContext, type PlaceOptions } from './context.ts';
import { gatherFacts, type DoctorFacts } from './doctor-facts.ts';
import { SECTIONS, type Section } from './doctor-sections.ts';
import { dataFolderOf } from './place.ts';

const FINDINGS = 1;

/** `gatelog doctor`: exit code 0 when nothing was found, 1 when a person should look. */
export async function examine(
  context: CliContext,
  options: PlaceOptions & { readonly json: boolean },
): Promise<void> {
  const facts = await gatherFacts(dataFolderOf(context, options));
  const sections = SECTIONS.map((section) => section(facts));
  const findings = sections.flatMap((section) => section.findings);
  if (options.json) printLine(context, JSON.stringify({ ...facts, findings }));
  else for (const line of reportLines(context, facts, sections)) printLine(context, line);
  if (findings.length > 0) context.exitCode = FINDINGS;
}

function reportLines(
  context: CliContext,
  { data, agent }: DoctorFacts,
  sections: readonly Section[],
): string[] {
  const count = sections.reduce((sum, { findings }) => sum + findings.length, 0);
  const healthy = agent === undefined ? 'healthy as far as it was looked at' : 'healthy';
  const verdict = count === 0 ? healthy : counted(count, 'finding');
  return [
    ...sections.flatMap(({ title, lines, findings }) => [
      ...lines.map((line, index) => named(context, index === 0 ? title : '', line)),
      ...findings.map((finding) => named(context, '', paint(context, 'yellow', `! ${finding}`))),
    ]),
    '',
    `${data}: ${paint(context, count === 0 ? 'green' : 'yellow', verdict)}`,
  ];
}

const TITLE_WIDTH = 10;

function named(context: CliContext, title: string, line: string): string {
  return `${paint(context, 'bold', title.padEnd(TITLE_WIDTH))}  ${line}`;
}
