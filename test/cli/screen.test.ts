import { EventEmitter } from 'node:events';
import type { ReadStream, WriteStream } from 'node:tty';
import { describe, expect, test } from 'vitest';
import { frameOf, keysOf, Screen } from '../../src/cli/screen.ts';

/** What a terminal of `rows` lines shows after obeying `output`; knows the sequences that Screen uses. */
function shown(output: string, before: readonly string[] = []): string[] {
  const lines = [...before];
  let at = 0;
  // oxlint-disable-next-line no-control-regex -- terminal sequences begin with a control character
  for (const part of output.matchAll(/\u001b\[(?:(\d+);1)?([HKJ])|([^\u001b]+)/gu)) {
    if (part[2] === 'H') at = Number(part[1] ?? '1') - 1;
    else if (part[2] === 'J') lines.length = Math.min(lines.length, at);
    else if (part[2] === 'K') lines[at] = '';
    else lines[at] = (lines[at] ?? '') + (part[3] ?? '');
  }
  return lines;
}

describe('frames', () => {
  test('the first frame is drawn whole', () => {
    expect(shown(frameOf([], ['one', 'two', 'three']))).toEqual(['one', 'two', 'three']);
  });

  test('later frames write changed lines only', () => {
    const frame = frameOf(['one', 'two', 'three'], ['one', '2', 'three']);
    expect(frame).not.toContain('one');
    expect(frame).not.toContain('three');
    expect(shown(frame, ['one', 'two', 'three'])).toEqual(['one', '2', 'three']);
    expect(frameOf(['one'], ['one'])).toBe('');
  });

  test('lines that are no more are cleared', () => {
    const frame = frameOf(['one', 'two', 'three'], ['one', 'two']);
    expect(frame).toBe('\u001b[3;1H\u001b[J');
  });
});

test('keys come singly, escape sequences not at all', () => {
  expect(keysOf('ck')).toEqual(['c', 'k']);
  expect(keysOf('\u0003')).toEqual(['ctrl-c']);
  expect(keysOf('\u001b[A\u001bOBq\u001b[<0;3;4M')).toEqual(['q']);
  expect(keysOf('\r\n\t')).toEqual([]);
  expect(keysOf('\u001b')).toEqual([]);
});

class FakeInput extends EventEmitter {
  raw = false;
  setRawMode(raw: boolean): void {
    this.raw = raw;
  }
  resume(): void {}
  pause(): void {}
}

class FakeOutput extends EventEmitter {
  columns = 0;
  rows = 0;
  written = '';
  readonly fd = -1;
  write(text: string): boolean {
    this.written += text;
    return true;
  }
}

test('the terminal is taken and given back, once', () => {
  const input = new FakeInput();
  const output = new FakeOutput();
  const keys: string[] = [];
  const exitListeners = process.listenerCount('exit');
  const screen = new Screen({
    input: input as unknown as ReadStream,
    output: output as unknown as WriteStream & { fd: number },
    onKey: (key) => keys.push(key),
    onResize: () => {},
    onGone: () => {},
  });
  screen.enter();
  screen.enter();
  expect(input.raw).toBe(true);
  expect(output.written.split('\u001b[?1049h')).toHaveLength(2);
  expect(screen.size()).toEqual({ columns: 80, rows: 24 });
  input.emit('data', Buffer.from('c\u0003'));
  expect(keys).toEqual(['c', 'ctrl-c']);
  expect(process.listenerCount('exit')).toBe(exitListeners + 1);
  screen.leave();
  screen.leave();
  expect(input.raw).toBe(false);
  expect(process.listenerCount('exit')).toBe(exitListeners);
  input.emit('data', Buffer.from('k'));
  expect(keys).toEqual(['c', 'ctrl-c']);
  screen.show(['nothing is drawn any more']);
  expect(output.written).not.toContain('nothing');
});

test('a terminal that goes away is told once, and nothing is written to it any more', () => {
  const input = new FakeInput();
  const output = new FakeOutput();
  let gone = 0;
  const screen = new Screen({
    input: input as unknown as ReadStream,
    output: output as unknown as WriteStream & { fd: number },
    onKey: () => {},
    onResize: () => {},
    onGone: () => gone++,
  });
  screen.enter();
  input.emit('error', new Error('EIO'));
  input.emit('close');
  expect(gone).toBe(1);
  const { written } = output;
  screen.show(['anything']);
  screen.leave();
  expect(output.written).toBe(written);
});
