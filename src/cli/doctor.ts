import { counted } from '../words.ts';
import { paint, printLine, type CliContext, type PlaceOptions } from './context.ts';
import { type Examination, examination, type ExamineOptions } from './doctor-examination.ts';

const FINDINGS = 1;

/** `gatelog doctor`: exit code 0 when nothing was found, 1 when a person should look. */
export async function examine(
  context: CliContext,
  options: PlaceOptions & ExamineOptions & { readonly json: boolean },
): Promise<void> {
  const found = await examination(context, options);
  if (options.json) printLine(context, JSON.stringify(jsonOf(found)));
  else for (const line of reportLines(context, found)) printLine(context, line);
  if (found.findings.length > 0) context.exitCode = FINDINGS;
}

export function jsonOf({ data, facts, machine, ways, findings, advice }: Examination): object {
  return { data, ...facts, machine, ways, findings, advice };
}

export function reportLines(
  context: CliContext,
  { data, facts, sections, findings }: Examination,
): string[] {
  const isWhole = facts?.agent !== undefined;
  const healthy = isWhole ? 'healthy' : 'healthy as far as it was looked at';
  const verdict = findings.length === 0 ? healthy : counted(findings.length, 'finding');
  return [
    ...sections.flatMap(({ title, lines, findings: found, advice = [] }) => [
      ...lines.map((line, index) => named(context, index === 0 ? title : '', line)),
      ...found.map((finding) => named(context, '', paint(context, 'yellow', `! ${finding}`))),
      ...advice.map((text) => named(context, '', `- ${text}`)),
    ]),
    '',
    `${data}: ${paint(context, findings.length === 0 ? 'green' : 'yellow', verdict)}`,
  ];
}

const TITLE_WIDTH = 12;

function named(context: CliContext, title: string, line: string): string {
  return `${paint(context, 'bold', title.padEnd(TITLE_WIDTH))}  ${line}`;
}
