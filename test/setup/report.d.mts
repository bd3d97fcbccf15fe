export interface Counts {
  passed: number;
  failed: number;
  troubles: string[];
}

export function countReport(text: string | undefined, code: number): Counts;
