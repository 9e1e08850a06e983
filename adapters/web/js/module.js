// The WebAssembly module: it is compiled once, and each node or companion has an instance of its
// own, with a memory of its own. `src/call.rs` and `src/reply.rs` have the formats.

import { HandfastError } from './errors.js';
import { platform } from './platform.js';

/** The numbers of the calls. */
export const Call = Object.freeze({
  BOOT: 0,
  TICK: 1,
  CONNECTED: 2,
  FRAME: 3,
  DISCONNECTED: 4,
  KEPT: 5,
  PAIR: 6,
  CODE: 7,
  APP: 8,
  SUBSCRIBE: 9,
  RENEW: 10,
  BEARER: 11,
  FORGET: 12,
  READINGS: 13,
  DESCRIBE: 14,
  MATCHES: 15,
  READ_INVITE: 16,
  READ_SETUP: 17,
  COMPANION: 18,
  COMPANION_TEXT: 19,
  COMPANION_BINARY: 20,
  COMPANION_CLOSED: 21,
  IS_NEAR: 22,
});

/** The kinds of the records of an answer. */
export const Kind = Object.freeze({
  CONNECT: 0,
  SEND: 1,
  CLOSE: 2,
  KEEP: 3,
  KEEP_BLANK: 4,
  EVENT: 5,
  APP: 6,
  REFUSED: 7,
  SEND_TEXT: 8,
});

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Returns `length` random bytes. */
export const random = (length) => globalThis.crypto.getRandomValues(new Uint8Array(length));

/** Returns the bytes of a text, and bytes as they are. */
export const bytesOf = (data) => {
  if (typeof data === 'string') return encoder.encode(data);
  return data instanceof ArrayBuffer
    ? new Uint8Array(data)
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
};

/** Returns the text of bytes. */
export const textOf = (bytes) => decoder.decode(bytes);

const camel = (word) => word.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

/** Reads the JSON of an event or a refusal; names are written as JavaScript writes them. */
export const objectOf = (bytes) => {
  const object = JSON.parse(textOf(bytes));
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [camel(key), value]));
};

let compiled;

/** Compiles the module, or takes the one that is compiled. */
function compile(given) {
  if (given !== undefined) return compileFrom(given);
  compiled ??= compileFrom(platform.wasm()).catch((error) => {
    // The next attempt may find the file.
    compiled = undefined;
    throw error;
  });
  return compiled;
}

async function compileFrom(given) {
  try {
    const source = await given;
    if (source instanceof WebAssembly.Module) return source;
    if (typeof Response === 'undefined' || !(source instanceof Response)) {
      return await WebAssembly.compile(source);
    }
    if (!source.ok) throw new Error(`${source.url}: HTTP ${source.status}`);
    // Not compileStreaming, which refuses what a server does not call application/wasm.
    return await WebAssembly.compile(await source.arrayBuffer());
  } catch (error) {
    throw new HandfastError('module', { detail: error.message, cause: error });
  }
}

/** One instance of the module. */
export class Instance {
  #exports;

  /** Makes an instance; `wasm` takes the place of the module that comes with this package. */
  static async make(wasm) {
    const instance = new Instance();
    instance.#exports = (await WebAssembly.instantiate(await compile(wasm), {})).exports;
    return instance;
  }

  /**
   * Carries out a call. Returns the time until the next tick is due, in milliseconds, and the
   * records; their bytes are copies.
   */
  call(number, ...fields) {
    const { memory, handfast_input, handfast_input_bytes, handfast_output, handfast_call } =
      this.#exports;
    const parts = fields.map((field) => bytesOf(field ?? ''));
    const length = parts.reduce((sum, part) => sum + 2 + part.length, 1);
    if (length > handfast_input_bytes()) return { due: Infinity, records: [tooLong()] };
    const input = new Uint8Array(memory.buffer, handfast_input(), length);
    let at = 0;
    input[at++] = number;
    for (const part of parts) {
      input[at++] = part.length & 0xff;
      input[at++] = part.length >> 8;
      input.set(part, at);
      at += part.length;
    }
    const answered = handfast_call(length, performance.now(), Date.now() / 1000);
    if (answered === 0) throw new HandfastError('module', { detail: `call ${number}` });
    const output = new Uint8Array(memory.buffer, handfast_output(), answered);
    const answer = read(output);
    // Tokens and keys may stand in it.
    output.fill(0);
    return answer;
  }

  /**
   * Asks what changes nothing, and returns the answer.
   * @throws {HandfastError} if the module refuses it.
   */
  ask(number, ...fields) {
    const { records } = this.call(number, ...fields);
    const [{ kind, bytes }] = records;
    const object = objectOf(bytes);
    if (kind === Kind.REFUSED) throw new HandfastError(object.code, { detail: object.reason });
    return object;
  }

  /** Overwrites the memory, which holds keys. The instance is of no use afterwards. */
  wipe() {
    new Uint8Array(this.#exports.memory.buffer).fill(0);
    this.#exports = undefined;
  }
}

const tooLong = () => ({ kind: Kind.REFUSED, bytes: encoder.encode('{"code":"too_long"}') });

function read(output) {
  const view = new DataView(output.buffer, output.byteOffset, output.byteLength);
  const records = [];
  let at = 8;
  while (at < output.length) {
    const end = at + 5 + view.getUint32(at + 1, true);
    records.push({ kind: output[at], bytes: output.slice(at + 5, end) });
    at = end;
  }
  return { due: view.getFloat64(0, true), records };
}

let reader;

/** Asks an instance that holds nothing, such as for the parts of an invitation. */
export async function asked(wasm, number, ...fields) {
  const instance =
    wasm === undefined ? await (reader ??= Instance.make()) : await Instance.make(wasm);
  return instance.ask(number, ...fields);
}
