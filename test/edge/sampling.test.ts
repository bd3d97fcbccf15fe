import { expect, test } from 'vitest';
import type { GapJson } from '../../src/loss.ts';
import { PairAgent } from '../support/edge-and-centre.ts';
import { runGatelog } from '../support/hunt/agent-process.ts';
import { inWorkFolder } from '../support/hunt/work-folder.ts';
import { freePorts } from '../support/ports.ts';

const RULES = `mirrors:
  up:
    topics:
      - { match: telemetry, sample: { when: metered, keep: last per key per 1s, rest: ledger } }
      - { match: _gaps, class: alarm }
`;
const METERED = 'link: { metered: { interfaces: [lo], networkManager: false, then: sample } }';
const LINES = 200;

test('over a metered link a sample goes, through a kill; gateway and centre know what was left out', async () => {
  await inWorkFolder('sampling', async (folder) => {
    const [near = 0, far = 0] = await freePorts(2);
    const listen = (port: number): string => `mqtt: { listen: ["mqtt://127.0.0.1:${port}"]`;
    const centre = new PairAgent(folder, 'centre', far, `${listen(far)}, central: true }\n`);
    const upstream = `    mqtt: { url: "mqtt://127.0.0.1:${far}" }\n    ${METERED}\n`;
    const edge = new PairAgent(folder, 'edge', near, `${listen(near)} }\n${RULES}${upstream}`);
    try {
      await centre.start();
      await edge.start();
      await edge.publish(linesFrom(0));
      await edge.mirrorIs(({ recordsSampled }) => recordsSampled > 0);
      await edge.publish(linesFrom(LINES));
      await edge.agent.kill();
      await edge.start();
      await edge.mirrored();
      const status = await runGatelog(['mirror', 'status', '--data', edge.data]);
      expect(status.stdout).toContain('up: telemetry: of its records the last per key per 1s goes');

      const values = await centre.values();
      const last = `reading ${2 * LINES - 1}`;
      expect(values.at(-1)).toBe(last);
      expect(values.length).toBeLessThan(LINES);
      const gaps = await runGatelog(['gaps', '--data', edge.data, '--json']);
      const entries = gaps.stdout.split('\n').filter((line) => line !== '');
      const sampled = entries
        .map((line) => JSON.parse(line) as GapJson)
        .filter(({ reason }) => reason === 'sampled');
      const left = sampled.reduce((sum, { records }) => sum + records, 0);
      // What a kill interrupts is told again.
      expect(left).toBeGreaterThanOrEqual(2 * LINES - values.length);
      await edge.agent.stop();
      const audit = ['verify', '--log', centre.data, '--config', edge.config, '--json'];
      const { code, stdout } = await runGatelog(audit);
      const report: unknown = JSON.parse(stdout);
      expect(report).toMatchObject({ missing: 0, repeats: 0, disorder: 0, clean: true });
      expect(code).toBe(0);
    } finally {
      await edge.end();
      await centre.end();
    }
  });
});

function linesFrom(first: number): string[] {
  return Array.from({ length: LINES }, (_, index) => `reading ${first + index}`);
}
