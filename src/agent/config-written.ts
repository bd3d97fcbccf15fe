import { parseDocument } from 'yaml';

/**
 * The text that an option of the first level has in a configuration that may be wrong elsewhere, or be no
 * YAML in another place; undefined: none that is known without looking elsewhere.
 */
export function textWritten(text: string, option: string): string | undefined {
  try {
    const written: unknown = parseDocument(text, { logLevel: 'silent', uniqueKeys: false }).get(
      option,
    );
    const isText = typeof written === 'string' && written !== '' && !written.includes('${');
    return isText ? written : undefined;
  } catch {
    return undefined;
  }
}
