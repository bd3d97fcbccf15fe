/**
 * MQTT packets as the fields that they are made of, so that a change of one keeps the lengths of the others
 * right: what is wrong is then looked at where it is wrong, not at the first length.
 */
export type Field =
  | { readonly kind: 'byte' | 'id' | 'raw'; readonly bytes: Buffer }
  /** With two bytes of length before it. */
  | { readonly kind: 'text'; readonly bytes: Buffer }
  | { readonly kind: 'properties'; readonly list: readonly Property[] };

export interface Property {
  readonly id: number;
  readonly value: Buffer;
}

export interface FieldPacket {
  readonly first: number;
  readonly fields: readonly Field[];
}

export type Version = 3 | 4 | 5;

export function text(value: string | Buffer): Field {
  return { kind: 'text', bytes: Buffer.from(value as string) };
}

export function byte(...values: number[]): Field {
  return { kind: 'byte', bytes: Buffer.from(values) };
}

export function id(value: number): Field {
  return { kind: 'id', bytes: Buffer.from([value >> 8, value & 0xff]) };
}

function raw(value: string): Field {
  return { kind: 'raw', bytes: Buffer.from(value) };
}

function properties(version: Version, ...list: Property[]): Field[] {
  return version === 5 ? [{ kind: 'properties', list }] : [];
}

function textValue(...texts: string[]): Buffer {
  return Buffer.concat(texts.map((each) => prefixed(Buffer.from(each))));
}

function prefixed(bytes: Buffer): Buffer {
  const length = Buffer.from([(bytes.length >> 8) & 0xff, bytes.length & 0xff]);
  return Buffer.concat([length, bytes]);
}

export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    const more = rest >= 128;
    bytes.push((rest & 0x7f) | (more ? 0x80 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.from(bytes);
}

function encodeField(field: Field): Buffer {
  if (field.kind === 'text') return prefixed(field.bytes);
  if (field.kind !== 'properties') return field.bytes;
  const block = Buffer.concat(
    field.list.flatMap((property) => [Buffer.from([property.id]), property.value]),
  );
  return Buffer.concat([varint(block.length), block]);
}

export function encode({ first, fields }: FieldPacket): Buffer {
  const body = Buffer.concat(fields.map((field) => encodeField(field)));
  return Buffer.concat([Buffer.from([first]), varint(body.length), body]);
}

const USER: Property = { id: 0x26, value: textValue('site', 'north') };

export function connect(version: Version, clientId: string, lasting: boolean): FieldPacket {
  const flags = 0x04 | 0x28 | 0x80 | 0x40 | (lasting ? 0 : 2);
  return {
    first: 0x10,
    fields: [
      text(version === 3 ? 'MQIsdp' : 'MQTT'),
      byte(version),
      byte(flags),
      byte(0, 60),
      ...properties(
        version,
        { id: 0x11, value: Buffer.from([0, 0, 0, lasting ? 60 : 0]) },
        { id: 0x21, value: Buffer.from([0, 10]) },
        { id: 0x27, value: Buffer.from([0, 1, 0, 0]) },
        { id: 0x22, value: Buffer.from([0, 5]) },
        USER,
      ),
      text(clientId),
      ...properties(
        version,
        { id: 0x18, value: Buffer.from([0, 0, 0, 1]) },
        { id: 0x01, value: Buffer.from([1]) },
        { id: 0x03, value: textValue('text/plain') },
      ),
      text(`tele/${clientId}/LWT`),
      text('Offline'),
      text('user'),
      text('password'),
    ],
  };
}

function publish(version: Version, qos: number, retain: boolean, topic: string): FieldPacket {
  return {
    first: 0x30 | (qos << 1) | (retain ? 1 : 0),
    fields: [
      text(topic),
      ...(qos > 0 ? [id(7 + qos)] : []),
      ...properties(
        version,
        { id: 0x01, value: Buffer.from([1]) },
        { id: 0x02, value: Buffer.from([0, 0, 14, 16]) },
        { id: 0x03, value: textValue('application/json') },
        { id: 0x08, value: textValue('answer/here') },
        { id: 0x09, value: textValue('correlation') },
        { id: 0x23, value: Buffer.from([0, 3]) },
        USER,
        USER,
      ),
      raw('{"Time":"2026-01-01T00:00:00","ENERGY":{"Power":182,"Voltage":229}}'),
    ],
  };
}

/** One of each kind that a client sends, as Tasmota, Zigbee2MQTT and gateways do. */
export function corpus(version: Version): FieldPacket[] {
  const none = properties(version);
  const answer = version === 5 ? [byte(0), ...none] : [];
  return [
    connect(version, 'again', true),
    publish(version, 0, false, 'tele/plug/STATE'),
    publish(version, 1, false, 'zigbee2mqtt/lamp'),
    publish(version, 2, false, 'spBv1.0/plant/DDATA/line/press'),
    publish(version, 1, true, 'homeassistant/sensor/plug/config'),
    { first: 0x40, fields: [id(1), ...answer] },
    { first: 0x50, fields: [id(2), ...answer] },
    { first: 0x62, fields: [id(9), ...answer] },
    { first: 0x70, fields: [id(3), ...answer] },
    {
      first: 0x82,
      fields: [
        id(4),
        ...properties(version, { id: 0x0b, value: Buffer.from([5]) }, USER),
        text('cmnd/plug/+'),
        byte(1),
        text('zigbee2mqtt/#'),
        byte(2),
        text('$share/group/tele/+/STATE'),
        byte(0),
      ],
    },
    { first: 0xa2, fields: [id(5), ...none, text('cmnd/plug/+'), text('nothing/here')] },
    { first: 0xc0, fields: [] },
    { first: 0xe0, fields: version === 5 ? [byte(4), ...none] : [] },
    ...(version === 5 ? [{ first: 0xf0, fields: [byte(0x18), ...none] }] : []),
  ];
}
