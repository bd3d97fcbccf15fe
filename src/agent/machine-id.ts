import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';

export const MACHINE_ID_FILE = '/etc/machine-id';

/** gatelog's own, made once with systemd-id128 new: the same machine has another id for other programs. */
const APPLICATION = '6a1f0c7e52d94b0f9f5d6e4c8b3a2719';

/**
 * This machine's id as systemd's sd_id128_get_machine_app_specific(3) makes it, for machine-id(5) asks that the
 * id itself be kept from others: HMAC-SHA256 of the application's id under the machine's, as a UUID of version 4.
 * undefined: the machine has none, or none yet.
 */
export function machineId(file: string = MACHINE_ID_FILE): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
  if (!/^[0-9a-f]{32}$/iu.test(text) || /^0+$/u.test(text)) return undefined;
  const key = Buffer.from(text, 'hex');
  const hash = createHmac('sha256', key).update(Buffer.from(APPLICATION, 'hex')).digest();
  const id = hash.subarray(0, 16);
  id.writeUInt8((id.readUInt8(6) & 0x0f) | 0x40, 6);
  id.writeUInt8((id.readUInt8(8) & 0x3f) | 0x80, 8);
  return id.toString('hex');
}
