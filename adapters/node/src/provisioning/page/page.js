// The page of a node that is set up from a phone: networks, settings, progress, and what went wrong.
//
// While the node joins a network, its own is off, and this page hears nothing. So it asks on and on,
// goes on where the node is when it answers again, and keeps the form as it was.

import { proves } from './proof.js';
import { NEEDS, PROOF, UNPROTECTED, ask, load, send } from './send.js';
import { $, show, view, wait } from './view.js';
import { away, doing, failure, problem, strength } from './words.js';

/** Waits between two questions, in milliseconds: at first, and at most. */
const ASK = 700;
const ASK_MAX = 5000;
const FIELDS = [
  'network',
  'password',
  'country',
  'room',
  'invitation',
  'gateway',
  'token',
  'node-id',
  'household',
];
/** `true` if a gateway's invitation can take the place of its address and a token. */
const INVITES = NEEDS.includes('invitation');
/** Fields that are no secrets: they survive a reload of the page. */
const REMEMBERED = ['room', 'gateway', 'household'];

let node = { node_id: '' };
let networks = [];
/** The network and the gateway of the attempt that is under way. */
let trying = { network: '', gateway: '' };
/** `true` if all but the Wi-Fi stays as it is. */
const wifiOnly = () => !$('wifi-only-field').hidden && $('wifi-only').checked;

/** Asks the node, and for the proof where the node does not take the one that it took before. */
async function asked(name) {
  for (;;) {
    try {
      return await ask(name);
    } catch (error) {
      if (error.unproven === undefined) throw error;
      await proves(error.unproven);
    }
  }
}

/** Asks until the node answers. */
async function askOn(name, unanswered = () => {}) {
  for (let pause = ASK; ; pause = Math.min(2 * pause, ASK_MAX)) {
    try {
      return await asked(name);
    } catch {
      unanswered();
      await wait(pause);
    }
  }
}

function remember(settings) {
  try {
    for (const name of REMEMBERED) sessionStorage.setItem(name, settings[name]);
  } catch {
    // Some windows of captive portals have no storage.
  }
}

function recall() {
  try {
    for (const name of REMEMBERED) $(name).value = sessionStorage.getItem(name) || $(name).value;
  } catch {
    // As above.
  }
}

// --- networks ------------------------------------------------------------------------------------

const chosen = () => document.querySelector('input[name=ssid]:checked');
const ssid = () =>
  (chosen() && chosen().value) || (chosen() === $('other') ? $('ssid').value.trim() : '');
const security = () => {
  const found = networks.find((network) => network.ssid === ssid());
  return found ? found.security : '';
};

function choice(network) {
  const label = document.createElement('label');
  label.className = 'choice';
  const input = document.createElement('input');
  input.type = 'radio';
  input.name = 'ssid';
  input.value = network.ssid;
  const text = document.createElement('span');
  const detail = document.createElement('small');
  const open = network.security === 'OPEN' ? 'no password' : network.security;
  detail.textContent = `${strength(network.signal_strength)}, ${open}`;
  text.append(network.ssid, detail);
  label.append(input, text);
  return label;
}

function networkChanged() {
  show('other-field', chosen() === $('other'));
  show('password-field', security() !== 'OPEN');
}

async function scan() {
  $('scan').disabled = true;
  const before = ssid();
  try {
    networks = (await asked('scan')).networks;
    $('networks').replaceChildren(...networks.map(choice));
    const again = [...document.querySelectorAll('#networks input')].find(
      ({ value }) => value === before,
    );
    if (again) again.checked = true;
    else if (networks.length === 0) $('other').checked = true;
    show('none', networks.length === 0);
    $('network-problem').textContent = '';
  } catch {
    $('network-problem').textContent = 'The node did not answer. Stay near it, and look again.';
  } finally {
    $('scan').disabled = false;
    networkChanged();
  }
}

// --- the form ------------------------------------------------------------------------------------

/** The control that a field's problem belongs to. */
function control(field) {
  if (field !== 'network') return $(field);
  return chosen() === $('other') ? $('ssid') : document.querySelector('input[name=ssid]');
}

/** Shows what is wrong with fields, and puts the focus into the first. */
function showProblems(problems) {
  for (const field of FIELDS) {
    const found = problems.find((one) => one.field === field);
    $(`${field}-problem`).textContent = found ? found.words : '';
    if (found) control(field).setAttribute('aria-invalid', 'true');
    else control(field).removeAttribute('aria-invalid');
  }
  const first = FIELDS.find((field) => problems.some((one) => one.field === field));
  if (first === undefined) return;
  if ($('more').contains(control(first))) $('more').open = true;
  control(first).focus();
}

function settings() {
  const open = security() === 'OPEN';
  const values = { network: ssid(), password: open ? '' : $('password').value };
  for (const field of FIELDS.slice(2)) values[field] = $(field).value.trim();
  return values;
}

/** What is wrong with the settings as far as this page can tell. */
function check(values) {
  const problems = [];
  const wrong = (field, words) => problems.push({ field, words });
  if (values.network === '') wrong('network', 'Choose a network.');
  if (security().startsWith('WPA') && values.password.length < 8) {
    wrong('password', 'The password of this network has at least 8 characters.');
  }
  if (!$('country-field').hidden && !/^[a-z]{2}$/i.test(values.country)) {
    wrong('country', 'Write its two letters, such as DE.');
  }
  if (wifiOnly()) return problems;
  if (values.room === '') wrong('room', 'Name the room, so that the node is found in lists.');
  if (values['node-id'] === '') wrong('node-id', 'The gateway knows the node by this name.');
  if (INVITES && values.gateway === '') {
    if (!values.invitation.startsWith('handfast:1?')) {
      wrong('invitation', 'Paste the whole line that begins with handfast:1?');
    }
  } else if (values.invitation === '') {
    let scheme = '';
    try {
      scheme = new URL(values.gateway).protocol;
    } catch {
      // It is none.
    }
    if (!/^https?:$/.test(scheme)) wrong('gateway', 'Write it like https://gateway.local:8765.');
    if (values.token === '') wrong('token', 'Have a token made at the gateway.');
  } else {
    wrong('invitation', 'Either this, or a command center under “More”.');
  }
  return problems;
}

async function submit(event) {
  event.preventDefault();
  const values = settings();
  const problems = check(values);
  showProblems(problems);
  if (problems.length > 0) return;
  $('submit').disabled = true;
  show('failure', false);
  $('state').textContent = 'Sending the settings to the node…';
  try {
    const said = await send(values, wifiOnly());
    if (said.problems) {
      $('state').textContent = 'Check what is marked.';
      showProblems(said.problems.map((one) => ({ field: one.field, words: problem(one) })));
    } else if (said.message) {
      failed(said.error_code, said.message);
    } else {
      remember(values);
      trying = values;
      await follow();
    }
  } catch {
    // The settings may have arrived: the node's state says so.
    trying = values;
    await follow();
  } finally {
    $('submit').disabled = false;
  }
}

// --- progress ------------------------------------------------------------------------------------

/** Shows why an attempt failed, above the form as it was. */
function failed(code, words) {
  view('form', 'That did not work, and nothing was changed.');
  const told = failure(code, words, $('invitation').value.trim() !== '');
  $('failure-title').textContent = told.title;
  $('failure-words').textContent = told.words;
  if (told.field === 'country') show('country-field');
  show('failure');
  showProblems([]);
  if (told.field !== '') control(told.field).setAttribute('aria-invalid', 'true');
  if (told.field === 'password') $('password').select();
  else $('failure').focus();
}

function done() {
  view('done', 'The node is set up.');
  $('done-network').textContent = trying.network || 'its network';
  $('done-gateway').textContent = trying.gateway || 'its gateway';
  $('password').value = '';
  $('token').value = '';
  $('invitation').value = '';
  $('title').focus();
}

/** Follows the attempt that is under way to its end, over the time in which the node is away. */
async function follow() {
  view('progress', 'The node has got the settings…');
  $('title').focus();
  for (;;) {
    const since = Date.now();
    const status = await askOn('status', () => {
      const text = away((Date.now() - since) / 1000, node.node_id, trying.gateway || 'the gateway');
      if ($('away').textContent !== text) $('away').textContent = text;
      show('away');
    });
    show('away', false);
    if (status.state === 'PROVISIONED') return done();
    if (status.state === 'ERROR' || status.state === 'AP_MODE') {
      return failed(
        status.error_code,
        status.error || 'The node waits for settings again; it was interrupted',
      );
    }
    $('bar').value = status.progress_percent;
    const text = doing(status, trying.network || 'the network');
    if ($('state').textContent !== text) $('state').textContent = text;
    await wait(ASK);
  }
}

/** Leaves out of the form what stays as it is. */
function arrangeWifi() {
  show('beyond-wifi', !wifiOnly());
}

async function form(status) {
  view('form', 'Choose the network that the node is to use.');
  const known = (await askOn('info')).previously_provisioned;
  if (known && $('wifi-only-field').hidden) $('wifi-only').checked = true;
  show('wifi-only-field', known);
  arrangeWifi();
  await scan();
  if (status.error) failed(status.error_code, status.error);
}

const silent = () => {
  $('state').textContent = 'The node does not answer. Join its network with this phone.';
};

/** Loads what talking to the node needs, until the node gives it. */
async function loaded() {
  for (;;) {
    try {
      return await load();
    } catch {
      silent();
      await wait(ASK);
    }
  }
}

/** Puts the fields of a command center out of the way where an invitation takes their place. */
function arrange() {
  show('unprotected', UNPROTECTED);
  show('invited', INVITES);
  show('instead', INVITES);
  if (INVITES) $('more').append($('center'), $('household-field'));
}

async function begin() {
  arrange();
  if (!(await loaded())) {
    view('unusable', 'This browser cannot seal what it sends.');
    $('here').textContent = location.origin;
    return;
  }
  if (PROOF) await proves();
  node = await askOn('info', silent);
  show('open-instead', Boolean(node.access_point_note));
  $('open-instead').textContent = node.access_point_note ? `${node.access_point_note}.` : '';
  document.title = `Set up ${node.node_id}`;
  $('title').textContent = document.title;
  for (const place of document.querySelectorAll('.node')) place.textContent = node.node_id;
  $('node-id').value = node.node_id;
  recall();
  const status = await askOn('status');
  if (status.state === 'CONNECTING' || status.state === 'REGISTERING') await follow();
  else if (status.state === 'PROVISIONED') done();
  else await form(status);
}

$('form').addEventListener('submit', submit);
$('network').addEventListener('change', networkChanged);
$('ssid').addEventListener('input', networkChanged);
$('scan').addEventListener('click', scan);
$('wifi-only').addEventListener('change', arrangeWifi);
$('reveal').addEventListener('change', () => {
  $('password').type = $('reveal').checked ? 'text' : 'password';
});
$('node-id').addEventListener('input', () => {
  const name = $('node-id').value.trim() || 'NAME';
  document.querySelector('#token-hint .node').textContent = name;
});
$('again').addEventListener('click', () => form({}));
begin();
