import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FrameReader } from '../../src/agent/broker-frames.ts';
import { REASON } from '../../src/agent/broker-reasons.ts';

function frame(first: number, body: Uint8Array): Buffer {
  const length: number[] = [];
  let rest = body.length;
  do {
    length.push((rest & 0x7f) | (rest > 127 ? 0x80 : 0));
    rest >>= 7;
  } while (rest > 0);
  return Buffer.concat([Buffer.from([first, ...length]), body]);
}

function drain(reader: FrameReader): Buffer[] {
  const frames: Buffer[] = [];
  while (reader.next()) frames.push(Buffer.from(reader.whole()));
  return frames;
}

test('packets come out whole, however the stream is cut', () => {
  const packet = fc.record({
    first: fc.integer({ min: 0x10, max: 0xff }),
    body: fc.uint8Array({ maxLength: 400 }),
  });
  const cuts = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(fc.array(packet, { maxLength: 12 }), cuts, (packets, sizes) => {
      const frames = packets.map(({ first, body }) => frame(first, body));
      const stream = Buffer.concat(frames);
      const reader = new FrameReader(1000);
      const seen: Buffer[] = [];
      let at = 0;
      for (let turn = 0; at < stream.length; turn++) {
        const size = sizes[turn % sizes.length] ?? 1;
        reader.push(stream.subarray(at, at + size));
        at += size;
        seen.push(...drain(reader));
      }
      expect(seen).toEqual(frames);
      expect(reader.held).toBe(0);
    }),
  );
});

test('bytes that wait for CONNACK are kept over many chunks', () => {
  const reader = new FrameReader(1000);
  const frames = [
    frame(0x10, Buffer.alloc(3)),
    frame(0x32, Buffer.alloc(200, 7)),
    frame(0xc0, Buffer.alloc(0)),
  ];
  const stream = Buffer.concat(frames);
  reader.push(stream.subarray(0, 7));
  expect(reader.next()).toBe(true);
  for (let at = 7; at < stream.length; at += 50) reader.push(stream.subarray(at, at + 50));
  expect(drain(reader)).toEqual(frames.slice(1));
});

test('a too long packet is refused by its header, before its body', () => {
  const reader = new FrameReader(1000);
  reader.push(frame(0x32, Buffer.alloc(998)).subarray(0, 3));
  expect(() => reader.next()).toThrow(
    expect.objectContaining({ reasonCode: REASON.packetTooLarge }),
  );
  const fits = new FrameReader(1000);
  fits.push(frame(0x32, Buffer.alloc(997)));
  expect(fits.next()).toBe(true);
});

test('a length of five bytes is malformed', () => {
  const reader = new FrameReader(1000);
  reader.push(Buffer.from([0x32, 0x80, 0x80, 0x80, 0x80, 1]));
  expect(() => reader.next()).toThrow(expect.objectContaining({ reasonCode: REASON.malformed }));
});

test('a consumed chunk is let go', () => {
  const reader = new FrameReader(1000);
  reader.push(frame(0xc0, Buffer.alloc(0)));
  drain(reader);
  expect(reader.buffer).toHaveLength(0);
});
