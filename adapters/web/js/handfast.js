// The node's role: pairing, connecting, and what is stored.

import { GatewayAddress } from './address.js';
import { Client } from './client.js';
import { HandfastError } from './errors.js';
import { Call, asked } from './module.js';
import { Pairing } from './pairing.js';
import { platform } from './platform.js';
import { read } from './record.js';

/** Prefix of the keys under which companions' sessions are stored. */
export const SESSION = 'session ';

const keyOf = (address, options) => options.key ?? address.key;

/** Returns the first address that a WebSocket can be opened at, with those behind it. */
function webSocketsOf(addresses) {
  const usable = addresses.split('\n').filter((address) => /^wss?:/i.test(address));
  if (usable.length === 0) throw new HandfastError('no_address', { detail: addresses.trim() });
  return usable.map((address) => new GatewayAddress(address));
}

/** Pairs with an invitation or a setup code, and returns the linked node. */
async function paired(addresses, method, { code, gateway }, options) {
  const pairing = await Pairing.begin(keyOf(addresses[0], options), {
    ...options,
    addresses: addresses.map(({ href }) => href),
    method,
    proof: code,
    gateway,
  });
  return pairing.waitForApproval();
}

export const Handfast = Object.freeze({
  /** Starts to pair. Resolves once the gateway shows its PIN, or knows of the request. */
  async pair(url, options = {}) {
    const address = new GatewayAddress(url);
    const { code, method = code === undefined ? undefined : 'code' } = options;
    return Pairing.begin(keyOf(address, options), {
      ...options,
      addresses: [address.href],
      method,
      proof: code,
    });
  },

  /** Pairs with the text of a QR code, alone or in a link: an invitation, or a setup code that is bound to a key. */
  async pairWithQR(text, options = {}) {
    const trimmed = String(text).trim();
    if (!/(^|#)handfast:/i.test(trimmed)) {
      const { url, token, gateway } = await asked(options.wasm, Call.READ_SETUP, trimmed);
      if (gateway === undefined) throw new HandfastError('setup_unbound');
      return paired([new GatewayAddress(url)], 'setup', { code: token, gateway }, options);
    }
    const invite = await asked(options.wasm, Call.READ_INVITE, trimmed);
    return paired(webSocketsOf(invite.addresses), 'code', invite, options);
  },

  /** Starts the stored node of this gateway, without waiting for its link. */
  async open(url, options = {}) {
    const client = await Client.start(keyOf(new GatewayAddress(url), options), options);
    if (client.describe().gateway !== undefined) return client;
    // It has keys, and no pairing came of them.
    await client.close();
    throw new HandfastError('not_paired');
  },

  /** Links with what is stored of this gateway. Resolves once the link is open. */
  async connect(url, options = {}) {
    const client = await Handfast.open(url, options);
    try {
      return await client.whenLinked({ signal: options.signal });
    } catch (error) {
      await client.close();
      throw error;
    }
  },

  /** Lists what is stored: for each node its key, its addresses, its name, … */
  async stored({ storage = platform.storage() } = {}) {
    const found = [];
    for (const key of await storage.keys()) {
      if (key.startsWith(SESSION)) continue;
      const bytes = await storage.load(key);
      if (bytes !== undefined) found.push({ key, ...read(bytes).facts });
    }
    return found;
  },

  /** Erases what is stored of a gateway, its keys included. */
  async erase(url, { storage = platform.storage(), key } = {}) {
    await storage.remove(key ?? new GatewayAddress(url).key);
  },
});

/** Collects options; awaiting it links with what is stored. */
export class HandfastBuilder {
  #url;
  #options;

  constructor(url, options = {}) {
    this.#url = url;
    this.#options = { ...options };
  }

  withStorage(storage) {
    this.#options.storage = storage;
    return this;
  }

  withKey(key) {
    this.#options.key = key;
    return this;
  }

  withWebSocket(WebSocket) {
    this.#options.WebSocket = WebSocket;
    return this;
  }

  withSignal(signal) {
    this.#options.signal = signal;
    return this;
  }

  connect() {
    return Handfast.connect(this.#url, this.#options);
  }

  then(resolved, rejected) {
    return this.connect().then(resolved, rejected);
  }
}
