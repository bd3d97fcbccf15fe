/**
 * A program for Linux without its symbols for debuggers, as `strip` makes it, of which no machine has one for
 * all architectures. Node's come with 20 MB of them. What is loaded stays as it is, to the byte.
 */
export function strippedElf(file: Buffer): Buffer {
  const sections = sectionsOf(file);
  const names = sections[file.readUInt16LE(AT.namesIndex)];
  if (names === undefined) throw new Error('an ELF file without names of its sections');
  const kept = sections.filter(
    (section, index) => index === 0 || section === names || isLoaded(section),
  );
  const end = Math.max(...kept.filter((one) => isLoaded(one)).map(endOf), endOfSegments(file));
  const start = alignUp(end + names.size, 8);
  const made = Buffer.alloc(start + kept.length * SECTION_BYTES);
  file.copy(made, 0, 0, end);
  file.copy(made, end, names.offset, names.offset + names.size);
  made.writeBigUInt64LE(BigInt(start), AT.sections);
  made.writeUInt16LE(kept.length, AT.sectionCount);
  made.writeUInt16LE(kept.indexOf(names), AT.namesIndex);
  const renumbered = (index: number): number => {
    const section = sections[index];
    return section === undefined ? 0 : Math.max(0, kept.indexOf(section));
  };
  for (const [index, section] of kept.entries()) {
    const header = Buffer.from(section.header);
    if (section === names) header.writeBigUInt64LE(BigInt(end), FIELD.offset);
    header.writeUInt32LE(renumbered(header.readUInt32LE(FIELD.link)), FIELD.link);
    // Elsewhere it is no section's number.
    const infoIsSection = (section.flags & INFO_LINK) !== 0 || section.type === RELA;
    if (infoIsSection) {
      header.writeUInt32LE(renumbered(header.readUInt32LE(FIELD.info)), FIELD.info);
    }
    header.copy(made, start + index * SECTION_BYTES);
  }
  return made;
}

export function isElf(file: Buffer): boolean {
  return file.subarray(0, 4).equals(Buffer.from('\u007FELF'));
}

/** Of the ELF header, for 64 bits. */
const AT = {
  segments: 0x20,
  sections: 0x28,
  segmentCount: 0x38,
  sectionCount: 0x3c,
  namesIndex: 0x3e,
};
const FIELD = { type: 4, flags: 8, offset: 24, size: 32, link: 40, info: 44 };
const SECTION_BYTES = 64;
const SEGMENT_BYTES = 56;
const ALLOCATED = 2;
const INFO_LINK = 0x40;
const RELA = 4;
const NO_BITS = 8;

interface Section {
  readonly header: Buffer;
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly size: number;
}

function sectionsOf(file: Buffer): Section[] {
  // 64 bits, little-endian: both of our architectures.
  if (!isElf(file) || file[4] !== 2 || file[5] !== 1) throw new Error('no ELF file of 64 bits');
  const start = Number(file.readBigUInt64LE(AT.sections));
  return Array.from({ length: file.readUInt16LE(AT.sectionCount) }, (_, index) => {
    const at = start + index * SECTION_BYTES;
    const header = file.subarray(at, at + SECTION_BYTES);
    return {
      header,
      type: header.readUInt32LE(FIELD.type),
      flags: Number(header.readBigUInt64LE(FIELD.flags)),
      offset: Number(header.readBigUInt64LE(FIELD.offset)),
      size: Number(header.readBigUInt64LE(FIELD.size)),
    };
  });
}

function isLoaded({ flags }: Section): boolean {
  return (flags & ALLOCATED) !== 0;
}

function endOf({ type, offset, size }: Section): number {
  return type === NO_BITS ? offset : offset + size;
}

function endOfSegments(file: Buffer): number {
  const start = Number(file.readBigUInt64LE(AT.segments));
  let end = start;
  for (let index = 0; index < file.readUInt16LE(AT.segmentCount); index++) {
    const at = start + index * SEGMENT_BYTES;
    // Its offset and size in the file.
    end = Math.max(end, Number(file.readBigUInt64LE(at + 8) + file.readBigUInt64LE(at + 32)));
  }
  return end;
}

function alignUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
