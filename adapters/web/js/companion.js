// The companion's role: a setup code becomes a session, and a session a link with the gateway's
// application.

import { GatewayAddress } from './address.js';
import { Emitter, deferred } from './emitter.js';
import { HandfastError } from './errors.js';
import { SESSION } from './handfast.js';
import { Call, Instance, Kind, asked, bytesOf, objectOf, textOf } from './module.js';
import { platform } from './platform.js';
import { Socket } from './socket.js';

/** Time in which the gateway must answer a session, in milliseconds. */
const ANSWER_WITHIN = 10_000;
/** The shortest and the longest wait before a link is opened again, in milliseconds. */
const WAIT_MIN = 1_000;
const WAIT_MAX = 60_000;
/** Duration of a link that proves a healthy gateway, in milliseconds. */
const STEADY = 30_000;
/** Answers after which the same session may be accepted later. */
const PASSING = ['internal', 'rate limited', 'clock in doubt', 'lost', 'unreachable', 'no_answer'];

const lostError = ({ reason, opened }, url) =>
  new HandfastError(opened ? 'lost' : 'unreachable', { detail: reason || url });

/** Shows a bootstrap token, and returns the session's. */
async function redeemed(address, token, instance, WebSocket) {
  const outcome = deferred();
  let timer;
  const call = (number, ...fields) => {
    clearTimeout(timer);
    const { due, records } = instance.call(number, ...fields);
    if (due !== Infinity) timer = setTimeout(() => call(Call.TICK), Math.ceil(due));
    for (const { kind, bytes } of records) {
      if (kind === Kind.SEND_TEXT) socket.send(textOf(bytes));
      else if (kind === Kind.REFUSED) outcome.reject(new HandfastError(objectOf(bytes).code));
      else if (kind === Kind.EVENT) settle(objectOf(bytes));
    }
  };
  const settle = ({ event, token: session, reason }) => {
    if (event === 'session') outcome.resolve(session);
    else outcome.reject(new HandfastError(event === 'refused' ? reason : event));
  };
  const socket = new Socket(WebSocket, address.companions, [], {
    opened: () => call(Call.COMPANION, token),
    message: (data) => {
      if (typeof data === 'string') call(Call.COMPANION_TEXT, data);
      else call(Call.COMPANION_BINARY);
    },
    lost: (why) => {
      if (why.opened) call(Call.COMPANION_CLOSED);
      else outcome.reject(lostError(why, address.href));
    },
  });
  try {
    return await outcome.promise;
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

/** A session of a person's phone or program. */
export class Companion {
  #address;
  #token;
  #options;

  constructor(address, token, options) {
    this.#address = address;
    this.#token = token;
    this.#options = options;
  }

  /** Shows a setup code: the text of its QR code. The code is spent, and the session is stored. */
  static async pair(text, options = {}) {
    const { url, token, gateway } = await asked(options.wasm, Call.READ_SETUP, String(text).trim());
    if (gateway !== undefined) {
      throw new HandfastError('setup_code', {
        detail: 'it is for a device: Handfast.pairWithQR()',
      });
    }
    const address = new GatewayAddress(url);
    await address.checkPrivate(options.wasm, options.plainHosts);
    const WebSocket = options.WebSocket ?? (await platform.webSocket());
    const storage = options.storage ?? platform.storage();
    const instance = await Instance.make(options.wasm);
    try {
      const session = await redeemed(address, token, instance, WebSocket);
      const companion = new Companion(address, session, { ...options, WebSocket, storage });
      await companion.#save();
      return companion;
    } finally {
      instance.wipe();
    }
  }

  /** Takes the stored session with a gateway. */
  static async load(url, options = {}) {
    const address = new GatewayAddress(url);
    const storage = options.storage ?? platform.storage();
    const stored = await storage.load(options.key ?? SESSION + address.key);
    if (stored === undefined) throw new HandfastError('no_session');
    const session = JSON.parse(textOf(stored));
    const where = new GatewayAddress(session.url);
    await where.checkPrivate(options.wasm, options.plainHosts);
    const WebSocket = options.WebSocket ?? (await platform.webSocket());
    return new Companion(where, session.token, { ...options, WebSocket, storage });
  }

  /** The address of the gateway. */
  get url() {
    return this.#address.href;
  }

  /** The session's token, for `Authorization: Bearer` on the gateway's API. */
  get token() {
    return this.#token;
  }

  /** Opens the link, which is opened again whenever it is lost. Resolves once it is open. */
  async link({ signal } = {}) {
    const link = new CompanionLink(this.#address, this.#token, this.#options.WebSocket);
    await link.start(signal);
    return link;
  }

  /** Describes the session. A page may ask only the gateway that served it; Node.js any. */
  describe() {
    return this.#request('GET', '/api/v1/session');
  }

  /** Prolongs the session. */
  refresh() {
    return this.#request('POST', '/api/v1/session/refresh');
  }

  /** Ends the session at the gateway, and removes it here. */
  async end() {
    await this.#request('DELETE', '/api/v1/session');
    await this.forget();
  }

  /** Removes the session here alone. */
  async forget() {
    await this.#options.storage.remove(this.#key);
  }

  get #key() {
    return this.#options.key ?? SESSION + this.#address.key;
  }

  async #save() {
    const session = JSON.stringify({ url: this.#address.href, token: this.#token });
    await this.#options.storage.save(this.#key, bytesOf(session));
  }

  async #request(method, path) {
    const headers = { authorization: `Bearer ${this.#token}` };
    let answer;
    try {
      answer = await fetch(this.#address.route(path), { method, headers });
    } catch (error) {
      throw new HandfastError('unreachable', { detail: error.message, cause: error });
    }
    const body = await answer.json().catch(() => ({}));
    if (answer.ok) return body;
    const code = answer.status === 401 ? 'unknown session' : 'internal';
    throw new HandfastError(code, { detail: body.error?.message, status: answer.status });
  }
}

/** The link of a companion with the gateway's application. */
export class CompanionLink extends Emitter {
  #address;
  #token;
  #WebSocket;
  #socket;
  #timer;
  #wait = WAIT_MIN;
  #since;
  #first = deferred();
  #closed = false;

  /** The gateway's description of the session; `undefined` while the link is not open. */
  session;

  constructor(address, token, WebSocket) {
    super();
    this.#address = address;
    this.#token = token;
    this.#WebSocket = WebSocket;
  }

  /** Opens the link. For this package alone. */
  async start(signal) {
    const aborted = () => this.#end(new HandfastError('aborted', { cause: signal.reason }));
    signal?.addEventListener('abort', aborted, { once: true });
    if (signal?.aborted) aborted();
    else this.#open();
    try {
      await this.#first.promise;
    } finally {
      signal?.removeEventListener('abort', aborted);
    }
  }

  /** `true` while the link is open. */
  get linked() {
    return this.session !== undefined;
  }

  /** Sends a text or bytes to the gateway's application. */
  send(data) {
    if (!this.linked) throw new HandfastError('not_linked');
    this.#socket.send(data);
  }

  /** Closes the link. The session stays. */
  async close() {
    const socket = this.#socket;
    this.#end(new HandfastError('closed'));
    await socket?.close();
  }

  #open() {
    try {
      this.#socket = new Socket(this.#WebSocket, this.#address.companions, [], {
        opened: () => {
          this.#socket.send(JSON.stringify({ session_token: this.#token }));
          this.#timer = setTimeout(() => this.#lose(new HandfastError('no_answer')), ANSWER_WITHIN);
        },
        message: (data) => {
          if (this.linked) this.emit('message', data);
          else this.#welcome(data);
        },
        lost: (why) => this.#lose(lostError(why, this.#address.href)),
      });
    } catch (error) {
      this.#end(error);
    }
  }

  #welcome(data) {
    clearTimeout(this.#timer);
    let answer;
    try {
      answer = JSON.parse(data);
    } catch {
      answer = {};
    }
    const {
      session_id: id,
      profile,
      device_label: deviceLabel,
      expires_at: expiresAt,
      error,
    } = answer;
    if (id === undefined) {
      this.#lose(new HandfastError(error === undefined ? 'not_understood' : String(error)));
      return;
    }
    this.session = { id, profile, deviceLabel, expires: new Date(expiresAt) };
    this.#since = performance.now();
    this.#first.resolve();
    this.emit('linked', this.session);
  }

  #lose(error) {
    clearTimeout(this.#timer);
    this.#socket.close();
    if (this.linked && performance.now() - this.#since >= STEADY) this.#wait = WAIT_MIN;
    this.session = undefined;
    if (!PASSING.includes(error.code)) {
      this.#end(error);
      return;
    }
    // Not all at once after a gateway's restart.
    const inMillis = this.#wait / 2 + Math.random() * (this.#wait / 2);
    this.#wait = Math.min(2 * this.#wait, WAIT_MAX);
    this.#timer = setTimeout(() => this.#open(), inMillis);
    this.emit('lost', { error, inMillis });
  }

  #end(error) {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.session = undefined;
    this.#first.reject(error);
    this.emit('closed', error);
  }
}
