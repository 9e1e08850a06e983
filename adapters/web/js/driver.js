// The driver of a node: it hands what happens to the module, one call after the other, and carries
// out the effects in order. It decides nothing but the order of the gateway's addresses.

import { HandfastError, refusal } from './errors.js';
import { Call, Kind, objectOf, random, textOf } from './module.js';
import { Socket } from './socket.js';

/** One byte more than a message of the wire has, which is enough for core to refuse it. */
const FRAME_MAX = 1025;
/** The longest wait that a timer can have, in milliseconds. */
const TIMER_MAX = 0x7fff_ffff;
const SUBPROTOCOL = 'handfast.v1';
/** Messages that may wait, for instance until a grant is stored. */
const WAITING_MAX = 256;

/**
 * @typedef {object} NodeOwner
 * @property {(event: { event: string }) => void} told an event of core, or of the connection
 * @property {(message: { action: number, address: string, bytes: Uint8Array }) => void} message
 * @property {(bytes: Uint8Array, blank: boolean) => Promise<void>} keep makes bytes durable
 * @property {(error: HandfastError) => void} failed the node has ended
 */

export class NodeDriver {
  #instance;
  #WebSocket;
  #addresses;
  /** @type {NodeOwner} */
  #owner;
  #queue = [];
  #running = false;
  /** The present connection; its jobs name it, so that those of an earlier one are left out. */
  #connection;
  #timer;
  #work = Promise.resolve();
  #ended;

  constructor(instance, WebSocket, addresses, owner) {
    this.#instance = instance;
    this.#WebSocket = WebSocket;
    this.#addresses = addresses;
    this.#owner = owner;
  }

  /** Returns the number of bytes that wait to be sent. */
  get waiting() {
    return this.#connection?.socket?.waiting ?? 0;
  }

  /**
   * Hands a call in. Resolves once its effects are carried out.
   * @throws {HandfastError} if the module refuses the call
   */
  input(number, ...fields) {
    if (this.#ended !== undefined) return Promise.reject(new HandfastError('closed'));
    return new Promise((resolve, reject) => this.#add({ number, fields, resolve, reject }));
  }

  /** Does something else in its turn: nothing is stored twice at once. */
  inTurn(work) {
    if (this.#ended === undefined) this.#add({ work });
  }

  /** Asks what changes nothing. */
  ask(number, ...fields) {
    if (this.#ended !== undefined) throw new HandfastError('closed');
    return this.#instance.ask(number, ...fields);
  }

  /** Ends the node: closes the connection, and overwrites its memory. */
  close() {
    this.#ended ??= this.#close();
    return this.#ended;
  }

  async #close() {
    clearTimeout(this.#timer);
    for (const { reject } of this.#queue.splice(0)) reject?.(new HandfastError('closed'));
    const closed = this.#connection?.socket?.close();
    // What is being stored may be a grant.
    await this.#work;
    this.#instance.wipe();
    await closed;
  }

  #fail(error) {
    if (this.#ended !== undefined) return;
    this.close();
    this.#owner.failed(error);
  }

  #add(job) {
    this.#queue.push(job);
    if (!this.#running) this.#work = this.#run();
  }

  async #run() {
    this.#running = true;
    try {
      while (this.#ended === undefined && this.#queue.length > 0) {
        const job = this.#queue.shift();
        if (job.connection !== undefined && job.connection !== this.#connection) continue;
        await (job.work?.() ?? this.#step(job));
      }
    } catch (error) {
      this.#fail(
        error instanceof HandfastError ? error : new HandfastError('module', { cause: error }),
      );
    } finally {
      this.#running = false;
    }
  }

  async #step({ number, fields, resolve, reject }) {
    if (number === Call.DISCONNECTED) this.#connection = undefined;
    const { due, records } = this.#instance.call(number, ...fields);
    this.#schedule(due);
    const results = [];
    let refused;
    for (const { kind, bytes } of records) {
      switch (kind) {
        case Kind.CONNECT:
          this.#connect(0);
          break;
        case Kind.SEND:
          this.#connection?.socket.send(bytes);
          break;
        case Kind.CLOSE:
          if (this.#disconnect(bytes)) {
            results.push({ number: Call.DISCONNECTED, fields: [random(2)] });
          }
          break;
        case Kind.KEEP:
        case Kind.KEEP_BLANK:
          await this.#keep(bytes, kind === Kind.KEEP_BLANK);
          results.push({ number: Call.KEPT, fields: [] });
          break;
        case Kind.EVENT:
          this.#owner.told(objectOf(bytes));
          break;
        case Kind.APP:
          this.#owner.message(messageOf(bytes));
          break;
        case Kind.REFUSED:
          refused = objectOf(bytes);
          break;
      }
    }
    // What follows from the effects comes before everything else that happens.
    this.#queue.unshift(...results);
    if (refused === undefined) resolve?.();
    else if (reject !== undefined) reject(refusal(refused));
  }

  async #keep(bytes, blank) {
    try {
      await this.#owner.keep(bytes, blank);
    } catch (error) {
      throw new HandfastError('cannot_store', { detail: error.message, cause: error });
    }
  }

  #schedule(due) {
    clearTimeout(this.#timer);
    if (due === Infinity) return;
    const tick = () => this.#add({ number: Call.TICK, fields: [] });
    this.#timer = setTimeout(tick, Math.min(Math.ceil(due), TIMER_MAX));
  }

  /** Opens a connection at the first address that takes one. */
  #connect(at) {
    const url = this.#addresses[at];
    const connection = { socket: undefined };
    this.#connection = connection;
    const job = (number, ...fields) => this.#add({ number, fields, connection });
    const lost = (why) => {
      if (this.#ended !== undefined) return;
      this.#owner.told({ event: 'lost', url, ...why });
      const next = at + 1;
      if (!why.opened && next < this.#addresses.length) this.#connect(next);
      else job(Call.DISCONNECTED, random(2));
    };
    this.#owner.told({ event: 'connecting', url });
    try {
      connection.socket = new Socket(this.#WebSocket, url, SUBPROTOCOL, {
        opened: () => {
          // The next attempt begins with the address that worked.
          this.#addresses = [url, ...this.#addresses.filter((other) => other !== url)];
          job(Call.CONNECTED, random(32));
        },
        message: (data) => {
          if (typeof data !== 'string' && this.#queue.length < WAITING_MAX) {
            job(Call.FRAME, data.subarray(0, FRAME_MAX), random(32));
            return;
          }
          connection.socket.close();
          const which = typeof data === 'string' ? 'a text message' : 'too many messages at once';
          lost({ reason: `the gateway sent ${which}`, opened: true });
        },
        lost,
      });
    } catch (error) {
      lost({ reason: error.message, code: error.code, opened: false });
    }
  }

  /** Closes the connection, if there is one; what comes on it is left out from now on. */
  #disconnect(bytes) {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.socket?.close(bytes[0] | (bytes[1] << 8), textOf(bytes.subarray(2)));
    return connection !== undefined;
  }
}

/** Reads a message of the application. */
function messageOf(bytes) {
  const end = 2 + bytes[1];
  return { action: bytes[0], address: textOf(bytes.subarray(2, end)), bytes: bytes.slice(end) };
}
