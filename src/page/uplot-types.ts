/** As much of uPlot as the charts use; its script is loaded beside the page's own. */
export interface Plot {
  setData(data: readonly (readonly (number | null)[])[]): void;
  setSize(size: { readonly width: number; readonly height: number }): void;
  destroy(): void;
}

export type PlotMaker = new (
  options: Readonly<Record<string, unknown>>,
  data: readonly (readonly (number | null)[])[],
  place: HTMLElement,
) => Plot;
