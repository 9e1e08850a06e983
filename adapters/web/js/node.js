// The entry for Node.js: files take the place of what a browser has.

import { readFile } from 'node:fs/promises';
import { HandfastError } from './errors.js';
import { FileStorage } from './file-storage.js';
import { platform } from './platform.js';

Object.assign(platform, {
  wasm: () => readFile(new URL('../dist/handfast.wasm', import.meta.url)),
  webSocket: async () => {
    if (globalThis.WebSocket !== undefined) return globalThis.WebSocket;
    try {
      return (await import('ws')).default;
    } catch (error) {
      throw new HandfastError('no_websocket', { cause: error });
    }
  },
  storage: () => new FileStorage(),
});

export * from './index.js';
export { FileStorage };
