// Types of the entry for Node.js.

import type { Storage } from './index.js';

export * from './index.js';

/** A storage in files of mode 0600, one a pairing: the default in Node.js. */
export class FileStorage implements Storage {
  /** Without a folder: `~/.config/handfast/js`, and what other systems have in its place. */
  constructor(folder?: string);
  load(key: string): Promise<Uint8Array | undefined>;
  save(key: string, bytes: Uint8Array): Promise<void>;
  remove(key: string): Promise<void>;
  keys(): Promise<string[]>;
}
