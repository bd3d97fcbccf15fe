/**
 * ExportMetricsServiceRequest of OTLP (opentelemetry-proto, metrics/v1), read by the numbers of its fields: nothing of
 * the library that wrote it has a part in it.
 */
export type Attributes = Readonly<Record<string, string>>;

export interface OtlpPoint {
  readonly attributes: Attributes;
  readonly startNanos: bigint;
  readonly nanos: bigint;
  readonly value?: number;
  readonly count?: number;
  readonly sum?: number;
  readonly bucketCounts?: readonly number[];
  readonly bounds?: readonly number[];
}

export interface OtlpMetric {
  readonly name: string;
  readonly description: string;
  readonly unit: string;
  readonly kind: 'gauge' | 'sum' | 'histogram';
  /** 2: since the start. */
  readonly temporality: number | undefined;
  readonly isMonotonic: boolean;
  readonly points: readonly OtlpPoint[];
}

export interface OtlpRequest {
  readonly resource: Attributes;
  readonly metrics: readonly OtlpMetric[];
}

type Field = bigint | Buffer;

/** The fields of one message by number; of each all values in their order. */
class Message {
  readonly #fields = new Map<number, Field[]>();

  constructor(bytes: Buffer) {
    let at = 0;
    const varint = (): bigint => {
      let value = 0n;
      for (let shift = 0n; ; shift += 7n) {
        const byte = bytes[at++] ?? 0;
        value |= BigInt(byte & 0x7f) << shift;
        if (byte < 0x80) return value;
      }
    };
    while (at < bytes.length) {
      const tag = Number(varint());
      const kind = tag & 7;
      const number = tag >> 3;
      let value: Field;
      if (kind === 0) value = varint();
      else {
        const length = kind === 1 ? 8 : kind === 5 ? 4 : Number(varint());
        value = bytes.subarray(at, at + length);
        at += length;
      }
      const all = this.#fields.get(number) ?? [];
      this.#fields.set(number, [...all, value]);
    }
  }

  messages(number: number): Message[] {
    return this.#bytes(number).map((bytes) => new Message(bytes));
  }

  message(number: number): Message {
    return this.messages(number)[0] ?? new Message(Buffer.alloc(0));
  }

  has(number: number): boolean {
    return this.#fields.has(number);
  }

  text(number: number): string {
    return this.#bytes(number)[0]?.toString('utf8') ?? '';
  }

  whole(number: number): number {
    return Number(this.#fields.get(number)?.[0] ?? 0n);
  }

  double(number: number): number | undefined {
    return this.#bytes(number)[0]?.readDoubleLE();
  }

  fixed(number: number): bigint {
    return this.#bytes(number)[0]?.readBigUInt64LE() ?? 0n;
  }

  /** Repeated numbers of eight bytes, packed or not. */
  packed<T>(number: number, read: (bytes: Buffer, at: number) => T): T[] {
    const bytes = Buffer.concat(this.#bytes(number));
    return Array.from({ length: bytes.length / 8 }, (_, at) => read(bytes, at * 8));
  }

  #bytes(number: number): Buffer[] {
    return (this.#fields.get(number) ?? []).filter((field) => typeof field !== 'bigint');
  }
}

export function readMetricsRequest(bytes: Buffer): OtlpRequest {
  const resourceMetrics = new Message(bytes).message(1);
  return {
    resource: attributesIn(resourceMetrics.message(1), 1),
    metrics: resourceMetrics.messages(2).flatMap((scope) => scope.messages(2).map(metricOf)),
  };
}

const KINDS = [
  [5, 'gauge'],
  [7, 'sum'],
  [9, 'histogram'],
] as const;

function metricOf(metric: Message): OtlpMetric {
  const [number, kind] = KINDS.find(([each]) => metric.has(each)) ?? [5, 'gauge'];
  const data = metric.message(number);
  return {
    name: metric.text(1),
    description: metric.text(2),
    unit: metric.text(3),
    kind,
    temporality: kind === 'gauge' ? undefined : data.whole(2),
    isMonotonic: data.whole(3) === 1,
    points: data.messages(1).map(kind === 'histogram' ? histogramPoint : numberPoint),
  };
}

function numberPoint(point: Message): OtlpPoint {
  const times = { startNanos: point.fixed(2), nanos: point.fixed(3) };
  return { attributes: attributesIn(point, 7), ...times, value: point.double(4) ?? Number.NaN };
}

function histogramPoint(point: Message): OtlpPoint {
  return {
    attributes: attributesIn(point, 9),
    startNanos: point.fixed(2),
    nanos: point.fixed(3),
    count: Number(point.fixed(4)),
    sum: point.double(5) ?? Number.NaN,
    bucketCounts: point.packed(6, (bytes, at) => Number(bytes.readBigUInt64LE(at))),
    bounds: point.packed(7, (bytes, at) => bytes.readDoubleLE(at)),
  };
}

function attributesIn(message: Message, number: number): Attributes {
  return Object.fromEntries(
    message.messages(number).map((pair) => [pair.text(1), pair.message(2).text(1)]),
  );
}
