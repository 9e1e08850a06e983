// The page behind a link for phones. Nothing is spent before the button is pressed.

import { Companion } from './js/companion.js';
import { Handfast } from './js/handfast.js';
import { Call, asked } from './js/module.js';

const element = (id) => document.getElementById(id);
const say = (text) => {
  element('words').textContent = text;
};

/** Adds a fact to the list. */
function tell(term, ...details) {
  const dt = document.createElement('dt');
  dt.textContent = term;
  const all = details.map((text) => {
    const dd = document.createElement('dd');
    dd.textContent = text;
    return dd;
  });
  element('facts').append(dt, ...all);
}

/** Takes the payload, which `take.js` has taken out of the address. */
function taken() {
  const text = globalThis.taken;
  delete globalThis.taken;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Reads a payload: what the gateway is shown of it, which gateway it names, and how it is used. */
async function read(payload) {
  if (/^handfast:/i.test(payload)) {
    const { code, selector, proof, gateway } = await asked(undefined, Call.READ_INVITE, payload);
    const here = new URL('.', location.href).href;
    return {
      shown: { selector, proof },
      gateway,
      named: true,
      pair: async (name) => {
        const pairing = await Handfast.pair(here, { name, code, gateway });
        return pairing.waitForApproval();
      },
    };
  }
  const { token, gateway } = await asked(undefined, Call.READ_SETUP, payload);
  return {
    shown: { token },
    gateway,
    named: gateway !== undefined,
    pair: (name) =>
      gateway === undefined ? Companion.pair(payload) : Handfast.pairWithQR(payload, { name }),
  };
}

/** Asks the gateway what the payload grants. */
async function look(shown) {
  const answer = await fetch(new URL('../look', import.meta.url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(shown),
    referrerPolicy: 'no-referrer',
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error.message);
  return body;
}

async function start() {
  const payload = taken();
  if (payload === '') {
    say('This page opens from a QR code. Scan the code again to go on: its secret was taken out of the address.');
    return;
  }
  const { shown, gateway, named, pair } = await read(payload);
  if (gateway !== undefined && gateway !== element('fingerprint').textContent) {
    throw new Error('This link is for another gateway. Nothing was told to this one.');
  }
  const { permissions, profile, device_label: label } = await look(shown);
  if (label) tell('This device', label);
  if (profile) tell('Let in as', profile);
  tell('It will be allowed', ...(permissions.length > 0 ? permissions : ['nothing but to link']));
  say('Compare the fingerprint with what the gateway shows. Nothing happens before you press the button.');
  const form = element('pair');
  element('named').hidden = !named;
  form.hidden = false;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    form.hidden = true;
    say('Pairing …');
    try {
      const done = await pair(element('name').value.trim() || 'Phone');
      await done.close?.();
      say('Paired. What pairs this device is kept in this browser.');
    } catch (error) {
      say(error.message);
    }
  });
}

try {
  await start();
} catch (error) {
  say(error.message);
}
