/** Reads vitest's JSON report: what passed, what failed, and why a run is not clean. */
import { stripVTControlCharacters } from 'node:util';

const REASON_MAX = 2000;

/**
 * @typedef {{ passed: number, failed: number, troubles: string[] }} Counts
 */

/**
 * @param {string | undefined} text the report, undefined when there is none
 * @param {number} code vitest's exit code
 * @returns {Counts}
 */
export function countReport(text, code) {
  /** @type {Counts} */
  const counts = { passed: 0, failed: 0, troubles: [] };
  const failed = (trouble) => {
    counts.failed += 1;
    counts.troubles.push(trouble);
  };
  const report = parse(text);
  if (report === undefined) {
    failed(`no report; vitest ended with ${code}`);
    return counts;
  }
  for (const suite of report.testResults) {
    const name = suite.name.replace(`${process.cwd()}/`, '');
    const before = counts.failed;
    for (const test of suite.assertionResults) {
      if (test.status === 'passed') counts.passed += 1;
      else failed(`${name}: ${test.fullName}: ${test.status}${reasonOf(test)}`);
    }
    if (suite.status === 'failed' && counts.failed === before) {
      failed(`${name}: ${firstLine(suite.message) || 'the suite failed'}`);
    } else if (suite.assertionResults.length === 0) {
      failed(`${name}: no tests`);
    }
  }
  if (counts.failed === 0 && (code !== 0 || report.success !== true)) {
    failed(`an error outside the tests; vitest ended with ${code}`);
  }
  return counts;
}

function parse(text) {
  try {
    const report = JSON.parse(text);
    return Array.isArray(report?.testResults) ? report : undefined;
  } catch {
    return undefined;
  }
}

/** What it said: the run's own output is long, and where it is kept often only its end is. */
function reasonOf({ failureMessages }) {
  const [message] = failureMessages ?? [];
  if (message === undefined) return '';
  const text = stripVTControlCharacters(message).slice(0, REASON_MAX).trimEnd();
  return `\n${text.replaceAll(/^/gmu, '    ')}`;
}

function firstLine(text) {
  return String(text ?? '').split('\n')[0];
}
