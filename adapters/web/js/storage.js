// Where pairings and sessions are stored. A storage is an object with four functions, and a fifth
// where it can be used by several pages at once:
//
//   load(key)         the bytes that were saved, or undefined
//   save(key, bytes)  resolves once the bytes survive a power cut
//   remove(key)
//   keys()            all keys
//   lock(key)         optional: resolves to a function that releases the lock

import { HandfastError } from './errors.js';

/** A storage that ends with the page or process. */
export class MemoryStorage {
  #values = new Map();

  async load(key) {
    return this.#values.get(key)?.slice();
  }

  async save(key, bytes) {
    this.#values.set(key, bytes.slice());
  }

  async remove(key) {
    this.#values.delete(key);
  }

  async keys() {
    return [...this.#values.keys()];
  }
}

const STORE = 'handfast';
/** Time in which a page that is being left must have released its lock, in milliseconds. */
const LOCK_WITHIN = 3000;

/** A storage in the browser's IndexedDB. */
export class IndexedDbStorage {
  #name;
  #opened;

  /** @param {string} [name] the name of the database */
  constructor(name = 'handfast') {
    this.#name = name;
  }

  async load(key) {
    const found = await this.#request('readonly', (store) => store.get(key));
    return found === undefined ? undefined : new Uint8Array(found);
  }

  async save(key, bytes) {
    await this.#request('readwrite', (store) => store.put(bytes.slice().buffer, key));
  }

  async remove(key) {
    await this.#request('readwrite', (store) => store.delete(key));
  }

  async keys() {
    return this.#request('readonly', (store) => store.getAllKeys());
  }

  /**
   * Keeps other pages of this browser from using the same pairing, which would displace each other
   * all the time. A page that came over plain HTTP from another machine has no locks.
   */
  async lock(key) {
    const locks = globalThis.navigator?.locks;
    if (locks === undefined) return () => {};
    const signal = AbortSignal.timeout(LOCK_WITHIN);
    return new Promise((resolve, reject) => {
      const held = () => new Promise((release) => resolve(release));
      locks.request(`${this.#name} ${key}`, { signal }, held).catch(() => {
        reject(new HandfastError('in_use'));
      });
    });
  }

  /** Carries out one request, and resolves once its transaction is durable. */
  async #request(mode, ask) {
    const database = await (this.#opened ??= this.#open());
    return new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode, { durability: 'strict' });
      const request = ask(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
      transaction.onerror = () => reject(transaction.error);
    });
  }

  #open() {
    return new Promise((resolve, reject) => {
      const request = indexedDB.open(this.#name, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE);
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const database = request.result;
        // Another page wants a newer version, or the browser closed it: it is opened anew.
        database.onversionchange = () => database.close();
        database.onclose = () => (this.#opened = undefined);
        resolve(database);
      };
    }).catch((error) => {
      this.#opened = undefined;
      throw error;
    });
  }
}
