import type { BackupContents } from './ports.ts';

const BYTES = '$bytes';

/** JSON, with byte strings as {"$bytes": base64url}. */
export function encodeContents(contents: BackupContents): string {
  return JSON.stringify(
    contents,
    function (this: Record<string, unknown>, name, converted: unknown) {
      // Buffers have been through their own toJSON by now; what they were is still in the object that holds them.
      const held = this[name];
      return held instanceof Uint8Array
        ? { [BYTES]: Buffer.from(held).toString('base64url') }
        : converted;
    },
  );
}

/** Of a text that encodeContents has made and that nobody has altered. @throws SyntaxError for what is no JSON */
export function decodeContents(text: string): BackupContents {
  return JSON.parse(text, (name, value: unknown) =>
    // The members of tags have the names that callers chose.
    name !== 'tags' &&
    typeof value === 'object' &&
    value !== null &&
    BYTES in value &&
    typeof value[BYTES] === 'string'
      ? Buffer.from(value[BYTES], 'base64url')
      : value,
  ) as BackupContents;
}
