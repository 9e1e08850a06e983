// Handfast for browsers. Node.js has an entry of its own, `node.js`.

export { Companion, CompanionLink } from './companion.js';
export { Client } from './client.js';
export { HandfastError } from './errors.js';
export { Handfast, HandfastBuilder } from './handfast.js';
export { Pairing } from './pairing.js';
export { IndexedDbStorage, MemoryStorage } from './storage.js';
