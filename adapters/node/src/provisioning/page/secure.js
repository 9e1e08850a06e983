// Talking to the node over sealed exchanges, each begun with the proof on its label. The page imports
// it as `send.js`; with `provision --plain`, `plain.js`, which has the same exports, is served in its
// place.

import { Ended, Full, NoModule, Phone } from './sealed.js';

export const PROOF = true;

export const UNPROTECTED = false;

export const NEEDS = ['network', 'password', 'room', 'invitation', 'node-id'];

/** The page's fields, by the names of the API. */
const WIFI = { wifi_ssid: 'network', wifi_password: 'password', wifi_country: 'country' };
const FIELDS = { ...WIFI, room: 'room', node_id: 'node-id' };
const INVITED = { gateway: 'invitation' };
const CENTER = {
  command_center_url: 'gateway',
  household_id: 'household',
  provisioning_token: 'token',
};

/** The node does not take the proof that was right before: it is another node. */
class Unproven extends Error {
  constructor(told) {
    super('the node does not take the proof');
    this.unproven = told;
  }
}

let phone;
/** The proof, which no storage of the browser gets. */
let proof = '';
let proven = false;

let turn = Promise.resolve();
/** An exchange takes one message after the other. */
function alone(work) {
  const mine = turn.then(work);
  turn = mine.catch(() => {});
  return mine;
}

/** Gets ready; resolves to `false` if this browser cannot seal what it sends. */
export async function load() {
  try {
    phone = phone || (await Phone.load('/setup/setup.wasm'));
    return true;
  } catch (error) {
    if (error instanceof NoModule) return false;
    throw error;
  }
}

/**
 * Proves what stands on the label. Resolves to `{}` once the node has proven it, too; to `{ wrong }`,
 * `{ later }` or `{ full }` with the seconds until the next try; to `{ spelling }` if the text is no
 * proof, and to `{ lost }` if the answer is not that of a node with this proof.
 */
export const prove = (text) =>
  alone(async () => {
    const told = await begin(text);
    if (proven) proof = text;
    return told;
  });

async function begin(text) {
  proven = false;
  try {
    const told = await phone.prove(text);
    if (told.event === 'wrong' || told.event === 'later') return { [told.event]: told.retry_in };
    if (told.event === 'proof') return { spelling: true };
    proven = told.event === 'proven';
    return proven ? {} : { lost: true };
  } catch (error) {
    if (error instanceof Full) return { full: error.seconds };
    throw error;
  }
}

/** Calls the node; an exchange that has ended meanwhile is opened and proven anew. */
const call = (name, body) =>
  alone(async () => {
    for (let again = false; ; again = true) {
      if (!proven) {
        const told = await begin(proof);
        if (told.wrong !== undefined || told.spelling) throw new Unproven(told);
        if (!proven) throw new Error('the node does not answer the proof');
      }
      try {
        return await phone.ask(name, body);
      } catch (error) {
        proven = false;
        if (again || !(error instanceof Ended)) throw error;
      }
    }
  });

/** Asks for `info`, `scan` or `status`; rejects where the node does not answer in time. */
export async function ask(name) {
  const { status, body } = await call(name, '');
  if (status !== 200) throw new Error(`status ${status}`);
  return body;
}

/**
 * Sends the settings, with the invitation if there is one, or the Wi-Fi alone. Resolves to `{}` once
 * the node has taken them, to `{ problems }` by field where some are wrong, and to
 * `{ error_code, message }` where it takes none.
 */
export async function send(settings, wifiOnly) {
  const fields = wifiOnly ? WIFI : { ...FIELDS, ...(settings.invitation ? INVITED : CENTER) };
  const said = {};
  for (const [name, field] of Object.entries(fields)) {
    // It is asked for only where the radio wants it.
    if (field !== 'country' || settings.country !== '') said[name] = settings[field];
  }
  const { status, body } = await call(wifiOnly ? 'network' : 'provision', JSON.stringify(said));
  if (status === 422) {
    const problems = body.detail.map(({ loc, type, msg }) => ({
      field: fields[loc[loc.length - 1]],
      type,
      msg,
    }));
    return { problems };
  }
  return body.success ? {} : body;
}
