// A sealed exchange with the node: `setup.wasm`, which is core's phone, over POSTs. The module decides
// what is sent, and what an answer means; this file carries it.

/** The numbers of the module's calls. */
const START = 32;
const ANSWER = 33;
const PART = 34;
const STOP = 35;
/** The kinds of the records of its answers. */
const EVENT = 5;
const REFUSED = 7;
const OPEN = 32;
const POST = 33;
const REPLY = 34;
/** The calls of the node, in the order of their numbers. */
const CALLS = ['info', 'scan', 'provision', 'k2', 'status', 'factory-reset', 'network'];
/** The length of a part of a body. */
const PART_BYTES = 1000;
const HANDLE_BYTES = 16;
/** Time in which the node must answer, in milliseconds; a scan takes longer. */
const WITHIN = 5000;
const SCAN_WITHIN = 20000;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const bytesOf = (field) => (typeof field === 'string' ? encoder.encode(field) : field);
const random = (length) => crypto.getRandomValues(new Uint8Array(length));
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** The node does not know the exchange: it has ended, and nothing of the call was carried out. */
export class Ended extends Error {}

/** Other phones have all places at the node; one may be free after `seconds`. */
export class Full extends Error {
  constructor(seconds) {
    super('the node has no place for another phone');
    this.seconds = seconds;
  }
}

async function post(path, body, within) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), within);
  try {
    const answer = await fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body,
      signal: late.signal,
      cache: 'no-store',
    });
    if (answer.status === 404) throw new Ended('the exchange has ended');
    if (answer.status === 503) throw new Full(Number(answer.headers.get('retry-after')) || 1);
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    return new Uint8Array(await answer.arrayBuffer());
  } finally {
    clearTimeout(timer);
  }
}

/** This browser runs no such module. */
export class NoModule extends Error {}

/** A phone, with the one exchange that it has. */
export class Phone {
  /** Loads the module. */
  static async load(url) {
    if (typeof WebAssembly !== 'object') throw new NoModule('there is no WebAssembly');
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const bytes = await answer.arrayBuffer();
    const phone = new Phone();
    try {
      // Not instantiateStreaming, which older browsers do not have.
      phone.module = (await WebAssembly.instantiate(bytes, {})).instance.exports;
    } catch (error) {
      throw new NoModule(String(error));
    }
    return phone;
  }

  /** Opens an exchange, and resolves to the event that ends its beginning. */
  prove(proof) {
    return this.talk([START, proof, random(64)], WITHIN);
  }

  /** Calls the node; resolves to the status and the body of its answer. */
  async ask(name, body) {
    const bytes = bytesOf(body);
    const within = name === 'scan' ? SCAN_WITHIN : WITHIN;
    for (let from = 0; ; from += PART_BYTES) {
      const part = bytes.slice(from, from + PART_BYTES);
      const last = from + PART_BYTES >= bytes.length;
      const call = Uint8Array.of(CALLS.indexOf(name));
      const told = await this.talk([PART, call, Uint8Array.of(last ? 1 : 0), part], within);
      if (told.answer) return told.answer;
      if (told.event !== 'more') throw new Error(`the exchange is ${told.event}`);
    }
  }

  /** Carries a call out, and posts on until the module has something to tell. */
  async talk(fields, within) {
    let told;
    const parts = [];
    let status = 0;
    try {
      for (let records = this.call(...fields); records.length > 0; ) {
        let sent;
        for (const { kind, bytes } of records) {
          if (kind === EVENT) told = JSON.parse(decoder.decode(bytes));
          else if (kind === REFUSED) told = { event: JSON.parse(decoder.decode(bytes)).code };
          else if (kind === OPEN) sent = ['/api/v1/sealed', bytes];
          else if (kind === POST) {
            const handle = hex(bytes.subarray(0, HANDLE_BYTES));
            sent = [`/api/v1/sealed/${handle}`, bytes.subarray(HANDLE_BYTES)];
          } else if (kind === REPLY) {
            status = bytes[0] | (bytes[1] << 8);
            parts.push(bytes.subarray(3));
            if (bytes[2] === 1) told = { answer: { status, body: joined(parts) } };
          }
        }
        if (sent === undefined) break;
        records = this.call(ANSWER, await post(...sent, within), random(32));
      }
    } catch (error) {
      this.call(STOP);
      throw error;
    }
    if (told === undefined) throw new Error('the exchange is not open');
    return told;
  }

  /** Carries out one call of the module, and returns the records of its answer, as copies. */
  call(number, ...fields) {
    const { memory, handfast_input, handfast_input_bytes, handfast_output, handfast_call } =
      this.module;
    const parts = fields.map(bytesOf);
    const length = parts.reduce((sum, part) => sum + 2 + part.length, 1);
    if (length > handfast_input_bytes()) throw new Error('this is too long for the module');
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
    if (answered === 0) throw new Error(`the module knows no call ${number}`);
    return read(new Uint8Array(memory.buffer, handfast_output(), answered));
  }
}

/** Reads the records behind the deadline, which a phone does not have, and wipes them. */
function read(output) {
  const view = new DataView(output.buffer, output.byteOffset, output.byteLength);
  const records = [];
  for (let at = 8; at < output.length; ) {
    const end = at + 5 + view.getUint32(at + 1, true);
    records.push({ kind: output[at], bytes: output.slice(at + 5, end) });
    at = end;
  }
  output.fill(0);
  return records;
}

function joined(parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return JSON.parse(decoder.decode(bytes));
}
