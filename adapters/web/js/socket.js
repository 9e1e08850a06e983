// A WebSocket whose opening and closing end in time, and which reports its end once.

import { HandfastError } from './errors.js';

/** Time in which a connection must be open, in milliseconds. */
const OPEN_WITHIN = 10_000;
/** The longest message of a gateway, in bytes. */
const MESSAGE_MAX = 1024 * 1024;
/** Time in which a peer must have answered a close frame, in milliseconds. */
const CLOSE_WITHIN = 2_000;

/**
 * @typedef {object} SocketEvents
 * @property {() => void} opened
 * @property {(data: string | Uint8Array) => void} message
 * @property {(why: { code?: number, reason: string, opened: boolean }) => void} lost
 */

export class Socket {
  #ws;
  #events;
  #opened = false;
  #error = '';
  #timer;
  #closed;

  /** @param {SocketEvents} events */
  constructor(WebSocket, url, protocols, events) {
    this.#events = events;
    try {
      // The package `ws` takes the bound; others ignore it, and have their own.
      this.#ws = new WebSocket(url, protocols, { maxPayload: MESSAGE_MAX });
    } catch (error) {
      // A browser refuses ws:// on a page that came over https.
      const code = error.name === 'SecurityError' ? 'mixed_content' : 'unreachable';
      throw new HandfastError(code, { detail: error.message, cause: error });
    }
    this.#ws.binaryType = 'arraybuffer';
    this.#closed = new Promise((resolve) =>
      this.#ws.addEventListener('close', resolve, { once: true }),
    );
    this.#timer = setTimeout(() => this.#lose('it did not open in time'), OPEN_WITHIN);
    this.#ws.addEventListener('open', () => this.#open());
    this.#ws.addEventListener('message', ({ data }) => {
      this.#events?.message(typeof data === 'string' ? data : new Uint8Array(data));
    });
    // A browser does not say why.
    this.#ws.addEventListener('error', ({ message }) => (this.#error = message ?? ''));
    this.#ws.addEventListener('close', ({ code, reason }) =>
      this.#lose(reason || this.#error, code),
    );
  }

  /** Returns the number of bytes that wait to be sent. */
  get waiting() {
    return this.#ws.bufferedAmount;
  }

  /** Sends a message; one for a connection that is ending is dropped. */
  send(data) {
    if (this.#ws.readyState === 1) this.#ws.send(data);
  }

  /** Closes the connection, and reports nothing any more. Resolves once it is closed, or in time. */
  async close(code = 1000, reason = '') {
    this.#events = undefined;
    clearTimeout(this.#timer);
    // A browser sends no other codes.
    this.#ws.close(code === 1000 || code >= 3000 ? code : 1000, reason);
    let timer;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, CLOSE_WITHIN)));
    await Promise.race([this.#closed, late]);
    clearTimeout(timer);
    // The package `ws` would wait for half a minute, and keep the process.
    if (this.#ws.readyState !== 3) this.#ws.terminate?.();
  }

  #open() {
    if (this.#events === undefined) return;
    clearTimeout(this.#timer);
    this.#opened = true;
    this.#events.opened();
  }

  #lose(reason, code) {
    const events = this.#events;
    if (events === undefined) return;
    this.close();
    events.lost({ code, reason, opened: this.#opened });
  }
}
