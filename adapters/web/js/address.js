// Addresses of gateways.

import { HandfastError } from './errors.js';
import { Call, asked } from './module.js';

/** The port of a gateway whose address names none, for every scheme. */
const DEFAULT_PORT = 8765;
const SCHEMES = { 'ws:': 'ws:', 'http:': 'ws:', 'wss:': 'wss:', 'https:': 'wss:' };

/** The address of a gateway: a WebSocket URL. */
export class GatewayAddress {
  #url;
  #port;

  /**
   * Reads `ws://`, `wss://`, `http://` or `https://`, a host, and any port, path and query.
   * @throws {HandfastError} `url`
   */
  constructor(text) {
    const [, scheme, rest] = /^\s*([a-z]+:)\/\/(\S+)\s*$/i.exec(String(text)) ?? [];
    const mapped = SCHEMES[scheme?.toLowerCase()];
    try {
      if (mapped === undefined) throw new TypeError('the scheme is none of a gateway');
      this.#url = new URL(`${mapped}//${rest}`);
      // A URL drops a port that is its scheme's default. Under the other scheme it is not the
      // default, so one of the two has it.
      const other = new URL(`${mapped === 'ws:' ? 'wss:' : 'ws:'}//${rest}`);
      this.#port = Number(this.#url.port || other.port || DEFAULT_PORT);
    } catch (error) {
      throw new HandfastError('url', { detail: String(text), cause: error });
    }
    const { username, password, hash } = this.#url;
    if (username || password || hash || rest.endsWith('#')) {
      throw new HandfastError('url', {
        detail: 'a user, a password and a # part have no place in it',
      });
    }
  }

  /** Returns the whole URL, with its port. */
  get href() {
    const { protocol, hostname, pathname, search } = this.#url;
    return `${protocol}//${hostname}:${this.#port}${pathname}${search}`;
  }

  /** Returns the host and the port: the name that a pairing is stored under. */
  get key() {
    return `${this.#url.hostname}:${this.#port}`;
  }

  /** Returns the URL of the companions' socket. */
  get companions() {
    const url = new URL(this.href);
    if (!url.pathname.endsWith('/pair')) url.pathname = `${url.pathname.replace(/\/$/, '')}/pair`;
    return url.href;
  }

  /** Returns the URL of a route of the gateway's HTTP API. */
  route(path) {
    const url = new URL(this.companions.replace(/^ws/, 'http'));
    url.pathname = url.pathname.slice(0, -'/pair'.length) + path;
    return url.href;
  }

  /**
   * Checks that what is sent there is encrypted, or stays in this network.
   * @throws {HandfastError} `not_encrypted`
   */
  async checkPrivate(wasm, plainHosts = []) {
    const { protocol, hostname } = this.#url;
    if (protocol === 'wss:' || plainHosts.includes(hostname)) return;
    const { event } = await asked(wasm, Call.IS_NEAR, hostname);
    if (event !== 'near') throw new HandfastError('not_encrypted', { detail: hostname });
  }
}
