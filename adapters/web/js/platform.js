// What a browser and Node.js have in different ways. This is the browser's; `node.js` replaces it.

import { HandfastError } from './errors.js';
import { IndexedDbStorage } from './storage.js';

export const platform = {
  /** Returns the module: bytes, or a response. */
  wasm: () => fetch(new URL('../dist/handfast.wasm', import.meta.url)),

  /** Returns the class of WebSockets. */
  webSocket: async () => {
    if (globalThis.WebSocket === undefined) throw new HandfastError('no_websocket');
    return globalThis.WebSocket;
  },

  /** Returns the storage that is used where none is given. */
  storage: () => {
    if (globalThis.indexedDB === undefined) throw new HandfastError('no_storage');
    return new IndexedDbStorage();
  },
};
