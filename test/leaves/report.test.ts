import { describe, expect, it } from 'vitest';
import { countReport } from '../setup/report.mjs';

interface Suite {
  readonly statuses: readonly string[];
  readonly status?: string;
  readonly message?: string;
}

function report(suites: readonly Suite[], success = true): string {
  return JSON.stringify({
    success,
    testResults: suites.map(({ statuses, status = 'passed', message = '' }, index) => ({
      name: `suite-${index}`,
      status,
      message,
      assertionResults: statuses.map((each, at) => ({ status: each, fullName: `test ${at}` })),
    })),
  });
}

describe('the count that ends npm test', () => {
  it('adds up what passed', () => {
    const counts = countReport(
      report([{ statuses: ['passed', 'passed'] }, { statuses: ['passed'] }]),
      0,
    );
    expect(counts).toEqual({ passed: 3, failed: 0, troubles: [] });
  });

  it('counts a failed and a skipped test as one failure each, by name', () => {
    const suite = { statuses: ['passed', 'failed', 'skipped'], status: 'failed' };
    const counts = countReport(report([suite], false), 1);
    expect(counts.passed).toBe(1);
    expect(counts.failed).toBe(2);
    expect(counts.troubles).toEqual(['suite-0: test 1: failed', 'suite-0: test 2: skipped']);
  });

  it('says why a test failed, without colours and within bounds', () => {
    const failureMessages = [`\u001B[31mone\u001B[39m\ntwo\n${'x'.repeat(5000)}`];
    const text = JSON.stringify({
      success: false,
      testResults: [
        {
          name: 'suite',
          status: 'failed',
          assertionResults: [{ status: 'failed', fullName: 'test', failureMessages }],
        },
      ],
    });
    const [trouble = ''] = countReport(text, 1).troubles;
    expect(trouble).toMatch(/^suite: test: failed\n {4}one\n {4}two\n {4}x+$/u);
    expect(trouble.length).toBeLessThan(2100);
  });

  it.each([
    [
      'a suite that could not be loaded',
      report([{ statuses: [], status: 'failed', message: 'no such module\nat x' }], false),
      1,
      'suite-0: no such module',
    ],
    [
      'a suite whose hook failed',
      report([{ statuses: ['passed'], status: 'failed' }], false),
      1,
      'suite-0: the suite failed',
    ],
    ['a suite without tests', report([{ statuses: [] }]), 0, 'suite-0: no tests'],
    [
      'an error outside the tests',
      report([{ statuses: ['passed'] }], false),
      1,
      'an error outside the tests; vitest ended with 1',
    ],
    [
      'an exit code alone',
      report([{ statuses: ['passed'] }]),
      7,
      'an error outside the tests; vitest ended with 7',
    ],
    ['a crash without a report', undefined, 139, 'no report; vitest ended with 139'],
    ['half a report', '{"testResults": [', 143, 'no report; vitest ended with 143'],
  ])('counts %s as one failure', (_name, text, code, trouble) => {
    const counts = countReport(text, code);
    expect(counts.failed).toBe(1);
    expect(counts.troubles).toEqual([trouble]);
  });
});
