import { shownControls } from '../control-characters.ts';
import type { HealthJson, MirrorHealth } from '../health.ts';
import { formatDuration, formatSize } from '../units.ts';
import { counted } from '../words.ts';
import { type CliContext, paint, type Style } from './context.ts';
import type { GatewayJson } from './fleet-book.ts';
import { formatTable } from './table.ts';

/** The fleet for a person: one line a gateway, and below it what is wrong there. */
export function fleetLines(context: CliContext, gateways: readonly GatewayJson[]): string[] {
  const [head = '', ...lines] = formatTable(COLUMNS, gateways.map(cellsOf));
  const rows = gateways.flatMap((each, index) => {
    const troubles = troublesOf(each);
    const style = styleOf(each, troubles);
    return [paint(context, style, lines[index] ?? ''), ...troubles.map((text) => `  ${text}`)];
  });
  const late = gateways.filter((each) => each.late).length;
  const sum = `${counted(gateways.length, 'gateway')}, ${late === 0 ? 'none' : late} late`;
  return [paint(context, 'bold', head), ...rows, '', sum];
}

const COLUMNS = [
  { title: 'GATEWAY' },
  { title: 'SEEN', right: true },
  { title: 'VERSION' },
  { title: 'UP', right: true },
  { title: 'CPU', right: true },
  { title: 'TEMP', right: true },
  { title: 'MEMORY', right: true },
  { title: 'DISK FREE', right: true },
  { title: 'WEAR', right: true },
  { title: 'DEVICES', right: true },
  { title: 'MSG/S', right: true },
  { title: 'LAG', right: true },
  { title: 'LAG TIME', right: true },
  { title: 'LOST', right: true },
  { title: 'MIRRORS' },
];

const UNKNOWN = '-';

function cellsOf({ gateway, ageMs, health }: GatewayJson): string[] {
  const name = shownControls(gateway);
  if (health === null) return [name, 'never', ...COLUMNS.slice(2).map(() => UNKNOWN)];
  const { agent, host, disk, wear, devices, mirrors, losses } = health;
  const lost = Object.values(losses).reduce((sum, records) => sum + records, 0);
  return [
    name,
    ageMs === null ? 'never' : formatDuration(Math.max(0, ageMs)),
    shownControls(health.version),
    formatDuration(agent.uptimeMs),
    orUnknown(host.cpuShare, percent),
    orUnknown(host.temperatureC, (degrees) => `${Math.round(degrees)}°C`),
    orUnknown(host.memoryAvailableBytes, (free) => percent(1 - free / host.memoryBytes)),
    orUnknown(disk?.freeBytes, formatSize),
    orUnknown(wear?.ratingYears, (years) => `${Math.min(years, 999).toFixed(1)} y`),
    orUnknown(devices?.connections, String),
    orUnknown(devices?.messagesPerSecond, (rate) => String(Math.round(rate))),
    String(mirrors.reduce((sum, { lagRecords }) => sum + lagRecords, 0)),
    lagTime(mirrors),
    String(lost),
    shownControls(mirrors.map(({ name: each, state }) => `${each} ${state}`).join(', ')),
  ];
}

function orUnknown<T>(value: T | null | undefined, text: (value: T) => string): string {
  return value === null || value === undefined ? UNKNOWN : text(value);
}

function percent(share: number): string {
  return `${Math.round(share * 100)}%`;
}

function lagTime(mirrors: readonly MirrorHealth[]): string {
  const behind = mirrors.filter(({ lagRecords }) => lagRecords > 0);
  if (behind.length === 0) return UNKNOWN;
  const times = behind.map(({ lagMs }) => lagMs ?? Number.NaN);
  const greatest = Math.max(...times);
  return Number.isNaN(greatest) ? '?' : formatDuration(greatest);
}

function styleOf({ late, health }: GatewayJson, troubles: readonly string[]): Style {
  if (health !== null && isUrgent(health)) return 'red';
  return late || troubles.length > 0 ? 'yellow' : 'green';
}

function isUrgent({ agent, disk, mirrors }: HealthJson): boolean {
  const isStuck = mirrors.some(({ state }) => state === 'halted' || state === 'refused');
  return agent.trouble !== null || disk?.step === 'refuse' || isStuck;
}

function troublesOf({ late, ageMs, health, lastLoss }: GatewayJson): string[] {
  const lost =
    lastLoss === null
      ? []
      : [
          `last loss ${lastLoss.to}: ${counted(lastLoss.records, 'record')} of ${lastLoss.topic} (${lastLoss.reason}: ${lastLoss.detail})`,
        ];
  return [
    ...silence(late, ageMs, health),
    ...(health === null ? [] : ofHealth(health)),
    ...lost,
  ].map(shownControls);
}

function silence(late: boolean, ageMs: number | null, health: HealthJson | null): string[] {
  if (!late) return [];
  if (health === null || ageMs === null) return ['it told nothing of itself in this time'];
  if (ageMs < 0) {
    return [
      `its clock is ${formatDuration(-ageMs)} ahead of this one: when it told this is not known`,
    ];
  }
  const every = formatDuration(health.intervalMs);
  return [`silent for ${formatDuration(ageMs)}, and tells every ${every}: what stands here is old`];
}

function ofHealth({ agent, clock, disk, host, mirrors }: HealthJson): string[] {
  const down = host.interfaces.filter(({ state }) => state === 'down').map(({ name }) => name);
  return [
    ...(agent.trouble === null ? [] : [`nothing is stored: ${agent.trouble}`]),
    ...(disk === null || disk.step === 'ok' ? [] : [`disk: ${disk.step}`]),
    ...(clock?.state === 'suspect' ? ['its clock is not believed'] : []),
    ...(agent.needsRestart ? ['changes of its configuration wait for a restart'] : []),
    ...(down.length === 0 ? [] : [`down: ${down.join(', ')}`]),
    ...mirrors
      .filter(({ reason }) => reason !== null)
      .map(({ name, state, reason }) => `${name} is ${state}: ${reason}`),
  ];
}
