import type { AedesProperties } from './broker-aedes.ts';

/** What properties cost in memory, about: a message of one byte may have a mebibyte of them. */
export function propertyBytes(properties: AedesProperties | undefined): number {
  if (properties === undefined) return 0;
  const { contentType = '', responseTopic = '', correlationData, userProperties } = properties;
  let bytes = contentType.length + responseTopic.length + (correlationData?.length ?? 0);
  for (const [name, value] of Object.entries(userProperties ?? {})) {
    bytes += name.length + ENTRY_BYTES;
    for (const each of typeof value === 'string' ? [value] : value) {
      bytes += each.length + ENTRY_BYTES;
    }
  }
  return bytes;
}

/** Of a text beside its characters. */
const ENTRY_BYTES = 32;
