// What is stored of a node: the module's bytes, which hold its keys and its pairing, and what this
// face needs beside them.
//
//   record = version length facts bytes      version: u8; length: u16 LE; facts: JSON

import { HandfastError } from './errors.js';
import { bytesOf, textOf } from './module.js';

const VERSION = 1;

/** A node's place in a storage. */
export class NodeRecord {
  #storage;
  #key;
  #unlock;
  #bytes = new Uint8Array();

  /** The addresses, the name and the room, the permissions that were asked for, … */
  facts;

  constructor(storage, key, unlock, facts) {
    this.#storage = storage;
    this.#key = key;
    this.#unlock = unlock;
    this.facts = facts;
  }

  /** Opens the place of a node, and locks it against other pages. */
  static async open(storage, key) {
    const unlock = (await storage.lock?.(key)) ?? (() => {});
    try {
      const record = new NodeRecord(storage, key, unlock, {});
      const stored = await storage.load(key);
      if (stored !== undefined) ({ facts: record.facts, bytes: record.#bytes } = read(stored));
      return record;
    } catch (error) {
      unlock();
      throw error;
    }
  }

  /** Returns the module's bytes; none if nothing is stored. */
  get bytes() {
    return this.#bytes;
  }

  /** Stores the module's bytes, and the facts as they are now. */
  async save(bytes = this.#bytes) {
    await this.#storage.save(this.#key, written(this.facts, bytes));
    this.#bytes = bytes;
  }

  /** Stores other facts. */
  async note(facts) {
    Object.assign(this.facts, facts);
    if (this.#bytes.length > 0) await this.save();
  }

  /** Removes the keys and the pairing. */
  async remove() {
    await this.#storage.remove(this.#key);
    this.#bytes = new Uint8Array();
  }

  /** Lets others use the place. */
  release() {
    this.#unlock();
  }
}

/** Reads a record. */
export function read(stored) {
  if (stored[0] !== VERSION) throw new HandfastError('stored_version');
  const end = 3 + (stored[1] | (stored[2] << 8));
  try {
    return { facts: JSON.parse(textOf(stored.subarray(3, end))), bytes: stored.slice(end) };
  } catch (error) {
    throw new HandfastError('stored_damaged', { cause: error });
  }
}

function written(facts, bytes) {
  const text = bytesOf(JSON.stringify(facts));
  if (text.length > 0xffff) throw new HandfastError('too_long');
  const record = new Uint8Array(3 + text.length + bytes.length);
  record.set([VERSION, text.length & 0xff, text.length >> 8]);
  record.set(text, 3);
  record.set(bytes, 3 + text.length);
  return record;
}
