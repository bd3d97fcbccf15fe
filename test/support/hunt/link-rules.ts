import type { Random } from '../../../src/random.ts';

/**
 * A link policy by chance, as configuration: another one at each start of a hunt's agent. Budgets that
 * end within seconds, windows that are open every other minute, a loopback that counts as metered.
 */
export function randomLinkRules(random: Random): string {
  const chance = (probability: number): boolean => random.next() < probability;
  const one = (...items: readonly string[]): string =>
    items[Math.floor(random.next() * items.length)] ?? '';
  const lines: string[] = [];
  if (chance(0.4)) lines.push(`rate: ${one('400kbit/s', '2Mbit/s', '20Mbit/s')}`);
  if (chance(0.6)) {
    const bytes = Math.round(100_000 + random.next() * 2_000_000);
    const exempt = one('[]', '[alarm]', '[alarm, normal]');
    const per = one('hour', 'day', 'month');
    lines.push(`budget: [{ bytes: ${bytes}, per: ${per}, exempt: ${exempt} }]`);
  }
  if (chance(0.4)) {
    const classes = one('', ', classes: [normal]', ', classes: [alarm]');
    lines.push(`windows: [{ from: "*/2 * * * *", for: 1m${classes} }]`);
  }
  if (chance(0.4)) {
    const then = one('pause', 'alarms-only', '{ cap: 300kbit/s }');
    lines.push(`metered: { interfaces: [lo], networkManager: false, then: ${then} }`);
  }
  if (lines.length === 0) return '';
  return `    link:\n${[...lines, 'zone: UTC'].map((line) => `      ${line}\n`).join('')}`;
}
