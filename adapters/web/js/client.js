// A node as its owner sees it: its link, its messages, its rights.

import { NodeDriver } from './driver.js';
import { Emitter, deferred } from './emitter.js';
import { HandfastError, isPassing, pairingRefusal } from './errors.js';
import { Call, Instance, bytesOf, random, textOf } from './module.js';
import { platform } from './platform.js';
import { NodeRecord } from './record.js';

const ACTIONS = ['read', 'write', 'admin'];
/** Subscriptions of one link. */
const SUBSCRIPTIONS = 16;
/** Bytes that may wait to be sent before a message is refused. */
const WAITING_MAX = 64 * 1024;
/** Events after which a link comes only if its owner does something. */
const FINAL = {
  pairAgain: 'pair_again',
  unpaired: 'unpaired',
  forgotten: 'forgotten',
  resting: 'not_paired',
};

const camel = (word) => word.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

/** Returns permissions as lines, in the way that the module reads them. */
const linesOf = (permissions = {}) =>
  ACTIONS.flatMap((action) =>
    (permissions[action] ?? []).map((pattern) => `${action}:${pattern}\n`),
  ).join('');

/** A node: paired, or about to be. */
export class Client extends Emitter {
  #driver;
  #record;
  #booted = false;
  #linked = false;
  #listeners = new Map();
  #waiters = new Set();
  #failure;

  /** Starts the node that is stored under `key`, or a new one. It is not linked yet. */
  static async start(key, options, facts = {}) {
    const WebSocket = options.WebSocket ?? (await platform.webSocket());
    const storage = options.storage ?? platform.storage();
    const instance = await Instance.make(options.wasm);
    const client = new Client();
    client.#record = await NodeRecord.open(storage, key);
    try {
      await client.#boot(instance, WebSocket, facts);
    } catch (error) {
      client.#record.release();
      throw error;
    }
    return client;
  }

  async #boot(instance, WebSocket, given) {
    const record = this.#record;
    Object.assign(record.facts, given);
    const { addresses, name = '', room = '', profile = '', permissions } = record.facts;
    if (addresses === undefined) throw new HandfastError('not_paired');
    this.#driver = new NodeDriver(instance, WebSocket, addresses, {
      told: (event) => this.#told(event),
      message: (message) => this.#message(message),
      keep: (bytes, blank) => this.#keep(bytes, blank),
      failed: (error) => this.#end(error),
    });
    try {
      const about = [name, room, profile, linesOf(permissions)];
      await this.#driver.input(Call.BOOT, random(64), record.bytes, ...about);
    } catch (error) {
      await this.#driver.close();
      throw this.#failure ?? error;
    }
    this.#booted = true;
  }

  /** The addresses of the gateway, the first one first. */
  get addresses() {
    return [...this.#record.facts.addresses];
  }

  /** `true` while the link is open. */
  get linked() {
    return this.#linked;
  }

  /** Returns the keys' fingerprints, the node's id, its permissions and their end. */
  describe() {
    const { state, linked, fingerprint, gateway, nodeId, expires, scopes } = this.#driver.ask(
      Call.DESCRIBE,
    );
    const permissions = { read: [], write: [], admin: [] };
    for (const line of (scopes ?? '').split('\n').filter(Boolean)) {
      const [, action, pattern] = /^(\w+):(.*)$/.exec(line);
      permissions[action].push(pattern);
    }
    const { name, room, pairedAt, gatewayName } = this.#record.facts;
    return {
      state,
      linked,
      name,
      room,
      fingerprint,
      gateway,
      gatewayName,
      nodeId,
      permissions,
      expires: expires === undefined ? undefined : new Date(expires * 1000),
      pairedAt: pairedAt === undefined ? undefined : new Date(pairedAt),
    };
  }

  /** Resolves once the link is open. */
  whenLinked({ signal } = {}) {
    if (this.#linked) return Promise.resolve(this);
    // A request for approval goes on after a restart, and may be turned down.
    const refused = (refusal) => (isPassing(refusal) ? undefined : pairingRefusal(refusal));
    return this.#waitFor('linked', { refused, ...FINAL }, { signal }).then(() => this);
  }

  /** Sends a message over the link. It resolves when it is sent, not when it is allowed. */
  async send(address, data, { action = 'write' } = {}) {
    if (this.#driver.waiting > WAITING_MAX) throw new HandfastError('congested');
    await this.#driver.input(Call.APP, action, address, bytesOf(data));
  }

  /**
   * Calls `listener` with messages at addresses that match, on this link and every later one.
   * Returns a function that ends that.
   */
  async subscribe(pattern, listener) {
    // A wrong pattern is refused here, whether or not there is a link.
    this.#driver.ask(Call.MATCHES, pattern, '/');
    const known = this.#listeners.get(pattern);
    if (known === undefined && this.#listeners.size >= SUBSCRIPTIONS)
      throw new HandfastError('too_many');
    const listeners = known ?? new Set();
    this.#listeners.set(pattern, listeners.add(listener));
    if (known === undefined && this.#linked) await this.#driver.input(Call.SUBSCRIBE, pattern);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.#listeners.delete(pattern);
    };
  }

  /** Sets the readings that go with the next heartbeats. */
  async setReadings({ occupancy, noise, wakeWordFp } = {}) {
    const bit = (value) => (value === undefined ? '' : new Uint8Array([value ? 1 : 0]));
    await this.#driver.input(
      Call.READINGS,
      bit(occupancy),
      noise === undefined ? '' : String(noise),
      bit(wakeWordFp),
    );
  }

  /** Has the capability token renewed. The module also does it by itself in good time. */
  async renew({ signal } = {}) {
    const renewed = this.#waitFor(
      'renewed',
      { notRenewed: 'not_renewed', lost: 'lost', ...FINAL },
      { signal },
    );
    await this.#driver.input(Call.RENEW);
    await renewed;
  }

  /** Asks for a bearer token for HTTP, which is valid for minutes. */
  async bearer({ signal } = {}) {
    const came = this.#waitFor(
      'bearer',
      { notRenewed: 'not_renewed', lost: 'lost', ...FINAL },
      { signal },
    );
    await this.#driver.input(Call.BEARER);
    return (await came).token;
  }

  /** Erases the pairing and the keys here, and ends. The gateway's operator is not told. */
  async forget() {
    const forgotten = this.#waitFor('forgotten');
    await this.#driver.input(Call.FORGET);
    await forgotten;
    await this.close();
  }

  /** Closes the link and ends. What is stored stays. */
  async close() {
    this.#end(new HandfastError('closed'));
    await this.#driver.close();
    this.#record.release();
  }

  /** Starts pairing. For this package alone. */
  async pair(method, proof, fingerprint) {
    await this.#driver.input(Call.PAIR, new Uint8Array([method]), proof, fingerprint);
  }

  /** Enters a PIN. For this package alone. */
  async enter(code) {
    await this.#driver.input(Call.CODE, code, random(32));
  }

  /** Removes what is stored of this node once it has ended. For this package alone. */
  async erase() {
    await this.#record.remove();
  }

  #told({ event, ...facts }) {
    const name = camel(event);
    this.#linked =
      name === 'linked' ||
      (this.#linked && !(name === 'lost' || name in FINAL || name === 'replaced'));
    if (name === 'linked') this.#resubscribe();
    if (name === 'granted') this.#note({ pairedAt: new Date().toISOString() });
    if (name === 'gatewayName') this.#note({ gatewayName: facts.name });
    for (const waiter of [...this.#waiters]) waiter(name, facts);
    // A token is for those who asked for it.
    if (name !== 'bearer') this.emit(name, facts);
  }

  #resubscribe() {
    for (const pattern of this.#listeners.keys()) {
      // If the link has ended again, the next one repeats it.
      this.#driver.input(Call.SUBSCRIBE, pattern).catch(() => {});
    }
  }

  #note(facts) {
    this.#driver.inTurn(() => this.#record.note(facts));
  }

  #message({ action, address, bytes }) {
    const message = {
      action: ACTIONS[action],
      address,
      bytes,
      get text() {
        return textOf(bytes);
      },
    };
    for (const [pattern, listeners] of [...this.#listeners]) {
      if (this.#driver.ask(Call.MATCHES, pattern, address).event !== 'matches') continue;
      for (const listener of [...listeners]) {
        try {
          listener(message);
        } catch (error) {
          queueMicrotask(() => {
            throw error;
          });
        }
      }
    }
    this.emit('message', message);
  }

  async #keep(bytes, blank) {
    // A node that is revoked, or forgets, has no use for its keys: they would be refused for ever.
    if (blank && this.#booted) await this.#record.remove();
    else await this.#record.save(bytes);
  }

  #end(error) {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#linked = false;
    for (const waiter of [...this.#waiters]) waiter('ended', {});
    this.emit('closed', error);
  }

  /** Resolves with the next event of this name; rejects with an error for those in `failures`. */
  #waitFor(wanted, failures = {}, { signal } = {}) {
    const waiting = deferred();
    if (this.#failure !== undefined) waiting.reject(this.#failure);
    const aborted = () => waiting.reject(new HandfastError('aborted', { cause: signal.reason }));
    if (signal?.aborted) aborted();
    const waiter = (name, facts) => {
      if (name === wanted) waiting.resolve(facts);
      else if (name === 'ended') waiting.reject(this.#failure);
      else if (name in failures) {
        const failure = failures[name];
        const error = typeof failure === 'string' ? new HandfastError(failure) : failure(facts);
        if (error !== undefined) waiting.reject(error);
      }
    };
    this.#waiters.add(waiter);
    signal?.addEventListener('abort', aborted, { once: true });
    const done = () => {
      this.#waiters.delete(waiter);
      signal?.removeEventListener('abort', aborted);
    };
    waiting.promise.then(done, done);
    return waiting.promise;
  }
}
