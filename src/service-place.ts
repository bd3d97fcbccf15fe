import path from 'node:path';

/** Where the package, and the unit in deploy/systemd, have what is the service's. */
export const SERVICE_PLACE = {
  configFolder: '/etc/gatelog',
  data: '/var/lib/gatelog',
  docs: '/usr/share/doc/gatelog/docs',
} as const;

export function isServiceConfig(file: string): boolean {
  return path.dirname(file) === SERVICE_PLACE.configFolder;
}

/** How the agent on a data folder is started: run by hand, as root, it would leave the service what it can't read. */
export function startHint(data: string): string {
  return data === SERVICE_PLACE.data
    ? 'start it with systemctl start gatelog; why it ended says journalctl -u gatelog'
    : `start one with gatelog run --data ${data}`;
}
