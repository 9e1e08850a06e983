// A pairing under way.

import { Client } from './client.js';
import { Emitter, deferred } from './emitter.js';
import { HandfastError, isPassing, pairingRefusal } from './errors.js';

const METHODS = { approval: 0, pin: 1, code: 2, setup: 3 };
/** Events of the client that are passed on. */
const PASSED = [
  'connecting',
  'lost',
  'gateway',
  'otherGateway',
  'pin',
  'wrongCode',
  'codeConfirmed',
  'waiting',
  'granted',
  'gatewayName',
  'retry',
  'turnedAway',
  'otherVersion',
  'broken',
  'tokenUnusable',
];
/** Failures that end a pairing, and the codes of their errors. */
const FAILURES = {
  otherGateway: 'other_gateway',
  gatewayUnproven: 'gateway_unproven',
  resting: 'interrupted',
};
/** Failures that end a pairing while no gateway has answered. */
const EARLY = { turnedAway: 'turned_away', otherVersion: 'other_version', broken: 'broken' };

/** A pairing under way: a PIN to submit, or an operator to wait for. */
export class Pairing extends Emitter {
  #client;
  #expected;
  #method;
  /** `true` if the caller chose the method. */
  #chosen;
  #proven = false;
  #ready;
  #outcome;
  #submitted;

  /** The gateway's fingerprint, and the grounds for trusting it: `pinned`, `code`, `first_use`. */
  gateway;
  /** The PIN that the gateway shows: its life in seconds, and the number of attempts. */
  pin;

  /** Starts pairing with a gateway at one of these addresses. */
  static async begin(key, { addresses, method, proof, gateway, ...options }) {
    const pairing = new Pairing();
    pairing.#expected = gateway;
    pairing.#chosen = method !== undefined;
    const { name = '', room, profile, permissions } = options;
    const described =
      profile === undefined || typeof profile === 'string' ? profile : JSON.stringify(profile);
    const facts = { addresses, name, room, profile: described, permissions };
    pairing.#client = await Client.start(key, options, facts);
    pairing.#listen();
    const { signal } = options;
    const aborted = () => pairing.#fail(new HandfastError('aborted', { cause: signal.reason }));
    signal?.addEventListener('abort', aborted, { once: true });
    if (signal?.aborted) aborted();
    await pairing.#start(method ?? 'pin', proof);
    return pairing;
  }

  /** This node's fingerprint, which the operator compares before they approve. */
  get fingerprint() {
    return this.#client.describe().fingerprint;
  }

  /**
   * Submits the PIN that the gateway shows. Resolves once the gateway has proven that it knows it.
   * After `wrong_code` another one may be submitted, `attemptsLeft` times.
   */
  async submitPin(pin) {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#method !== 'pin') throw new HandfastError('no_pin');
    await this.#ready.promise;
    const submitted = deferred();
    this.#submitted = submitted;
    try {
      await this.#client.enter(String(pin));
    } catch (error) {
      throw this.#failure ?? error;
    }
    await submitted.promise;
  }

  /** Pairs by a code that was made in advance, instead. Resolves once it is proven. */
  async submitCode(code) {
    const submitted = deferred();
    await this.#start('code', String(code), submitted);
    await submitted.promise;
  }

  /**
   * Waits for the gateway, and for its operator where they decide. Where no PIN was submitted, and
   * no method was chosen, the operator is asked to approve this node by its fingerprint.
   */
  async waitForApproval() {
    if (!this.#chosen && this.#method === 'pin' && this.#submitted === undefined) {
      await this.#start('approval');
    }
    return this.#outcome.promise;
  }

  /** Gives up. */
  async cancel() {
    await this.#fail(new HandfastError('aborted'));
  }

  #failure;

  /** Resolves once there is something for a person to do, or nothing more to be done. */
  async #start(method, proof, submitted) {
    if (this.#failure !== undefined) throw this.#failure;
    this.#method = method;
    this.#submitted = submitted;
    this.#ready = deferred();
    this.#outcome ??= deferred();
    this.pin = undefined;
    try {
      await this.#client.pair(METHODS[method], proof, this.#expected);
    } catch (error) {
      // A code that is none does not end the pairing that is under way, if there is one.
      if (this.gateway === undefined) await this.#fail(error);
      throw error;
    }
    await this.#ready.promise;
  }

  #listen() {
    const client = this.#client;
    for (const name of PASSED) client.on(name, (event) => this.emit(name, event));
    client.on('gateway', (gateway) => {
      this.gateway = gateway;
      if (this.#method === 'code' || this.#method === 'setup') this.#ready.resolve();
    });
    client.on('pin', (pin) => {
      this.pin = pin;
      this.#ready.resolve();
    });
    client.on('waiting', () => this.#ready.resolve());
    client.on('codeConfirmed', () => this.#confirmed());
    client.on('granted', () => this.#confirmed());
    client.on('linked', () => {
      this.#ready.resolve();
      if (this.#proven) this.#outcome.resolve(client);
    });
    client.on('wrongCode', ({ attemptsLeft }) => {
      const wrong = new HandfastError('wrong_code', { attemptsLeft });
      // A code that was given with the pairing cannot be typed again.
      if (this.#submitted === undefined) this.#fail(wrong);
      else this.#submitted.reject(wrong);
    });
    client.on('lost', ({ url, code, reason, opened }) => {
      if (this.gateway !== undefined || opened) return;
      const known = code === 'mixed_content' ? code : 'unreachable';
      this.#fail(new HandfastError(known, { detail: reason || url }));
    });
    client.on('refused', (refusal) => {
      if (!isPassing(refusal)) this.#fail(pairingRefusal(refusal));
      else this.emit('retry', refusal);
    });
    for (const [name, code] of Object.entries(FAILURES)) {
      client.on(name, () => this.#fail(new HandfastError(code)));
    }
    for (const [name, code] of Object.entries(EARLY)) {
      client.on(name, () => this.gateway === undefined && this.#fail(new HandfastError(code)));
    }
    client.on('closed', (error) => this.#fail(error));
  }

  #confirmed() {
    this.#proven = true;
    this.#ready.resolve();
    this.#submitted?.resolve();
  }

  async #fail(error) {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    const closed = this.#client.close();
    if (error.code === 'revoked') await closed.then(() => this.#client.erase());
    for (const waiting of [this.#ready, this.#outcome, this.#submitted]) waiting?.reject(error);
    await closed;
  }
}
