// A storage in files, for Node.js.

import { mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import { homedir, platform } from 'node:os';
import { join } from 'node:path';
import { HandfastError } from './errors.js';

const SUFFIX = '.handfast';

/** Returns the folder for this user. */
function defaultFolder() {
  const { APPDATA, XDG_CONFIG_HOME } = process.env;
  const home = homedir();
  if (platform() === 'win32')
    return join(APPDATA ?? join(home, 'AppData', 'Roaming'), 'handfast', 'js');
  if (platform() === 'darwin')
    return join(home, 'Library', 'Application Support', 'handfast', 'js');
  return join(XDG_CONFIG_HOME || join(home, '.config'), 'handfast', 'js');
}

const isMissing = (error) => error.code === 'ENOENT';

/** Flushes a folder, so that a name in it survives a power cut. Windows has no such thing. */
async function flushed(folder) {
  if (platform() === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** One file a pairing, readable by its owner alone. */
export class FileStorage {
  #folder;

  /** @param {string} [folder] it is made with mode 0700 where it is missing */
  constructor(folder = defaultFolder()) {
    this.#folder = folder;
  }

  async load(key) {
    let handle;
    try {
      handle = await open(this.#path(key), 'r');
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
    try {
      const { mode } = await handle.stat();
      if (platform() !== 'win32' && mode & 0o077) {
        throw new HandfastError('file_mode', { detail: this.#path(key) });
      }
      return new Uint8Array(await handle.readFile());
    } finally {
      await handle.close();
    }
  }

  /** Writes beside, flushes, renames and flushes again: a power cut leaves the old or the new. */
  async save(key, bytes) {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const path = this.#path(key);
    const beside = `${path}.tmp`;
    await unlink(beside).catch((error) => {
      if (!isMissing(error)) throw error;
    });
    const handle = await open(beside, 'wx', 0o600);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(beside, path);
    await flushed(this.#folder);
  }

  async remove(key) {
    try {
      await unlink(this.#path(key));
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    await flushed(this.#folder);
  }

  async keys() {
    try {
      const names = await readdir(this.#folder);
      return names
        .filter((name) => name.endsWith(SUFFIX))
        .map((name) => decodeURIComponent(name.slice(0, -SUFFIX.length)));
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  #path(key) {
    return join(this.#folder, encodeURIComponent(key) + SUFFIX);
  }
}
