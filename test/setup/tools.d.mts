export function ensureTools(path: string, wanted?: readonly string[]): void;
export function toolFile(program: string): string;
