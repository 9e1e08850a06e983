// A page that pairs, and links again whenever it is opened.

import { Companion, Handfast, HandfastError } from '../js/index.js';

const $ = (id) => document.getElementById(id);
const show = (id, shown = true) => ($(id).hidden = !shown);

/** Tells the person where things stand. */
const state = (text) => ($('state').textContent = text);

/** Adds a line to what happened. */
function note(text) {
  const line = document.createElement('li');
  line.textContent = text;
  $('log').append(line);
}

function failed(error) {
  $('error').textContent = error instanceof HandfastError ? error.message : `A defect: ${error}`;
  show('error');
  note($('error').textContent);
}

/** Handles the submission of a form; what fails is shown, and focus stays in the form. */
function on(id, carryOut) {
  $(id).addEventListener('submit', async (event) => {
    event.preventDefault();
    show('error', false);
    const button = event.submitter ?? $(id).querySelector('button');
    button.disabled = true;
    try {
      await carryOut();
    } catch (error) {
      failed(error);
    } finally {
      button.disabled = false;
    }
  });
}

let pairing;
let client;

function unpaired() {
  show('linked', false);
  show('pairing');
  show('pair');
  show('pin-form', false);
  show('cancel', false);
  state('Not paired.');
}

const method = () => document.querySelector('input[name=method]:checked').value;

for (const radio of document.querySelectorAll('input[name=method]')) {
  radio.addEventListener('change', () => {
    show('code-field', method() === 'code');
    $('code').required = method() === 'code';
  });
}

on('pair', async () => {
  state('Asking the gateway…');
  const name = $('name').value;
  const code = $('code').value.trim();
  try {
    if (method() === 'code' && !/^[A-Za-z0-9]{4}-/.test(code)) {
      use(await Handfast.pairWithQR(code, { name }));
      return;
    }
    const how = method() === 'code' ? { code } : { method: method() };
    pairing = await Handfast.pair($('url').value, { name, ...how });
  } catch (error) {
    state('Not paired.');
    throw error;
  }
  show('pair', false);
  show('cancel');
  pairing.waitForApproval().then(use, (error) => {
    if (error.code !== 'aborted') failed(error);
    unpaired();
  });
  if (pairing.pin !== undefined) {
    state('The gateway shows a PIN.');
    $('pin-hint').textContent =
      `${pairing.pin.attempts} attempts, ${Math.ceil(pairing.pin.expiresIn / 60)} minutes.`;
    show('pin-form');
    $('pin').value = '';
    $('pin').focus();
  } else {
    state(`The operator can approve this page now. Its fingerprint: ${pairing.fingerprint}`);
    $('state').focus();
  }
});

on('pin-form', async () => {
  try {
    await pairing.submitPin($('pin').value);
    show('pin-form', false);
    state('The PIN was right.');
  } catch (error) {
    if (error.attemptsLeft > 0)
      $('pin-hint').textContent = `${error.attemptsLeft} attempts are left.`;
    $('pin').select();
    throw error;
  }
});

$('cancel').addEventListener('click', () => pairing.cancel());

/** Shows a node that is paired. */
function use(paired) {
  client = paired;
  client.on('linked', linked);
  client.on('lost', ({ reason }) => {
    state('The link was lost. It comes back by itself.');
    note(`Lost: ${reason || 'no reason was given'}`);
  });
  client.on('retry', ({ inMillis }) =>
    note(`The next attempt follows in ${Math.round(inMillis / 1000)} s.`),
  );
  client.on('message', ({ action, address, text }) => note(`${action} ${address}: ${text}`));
  client.on('notAllowed', ({ action, pattern }) => note(`Not allowed: ${action} ${pattern}`));
  client.on('muted', () => note('The operator muted this node.'));
  client.on('renewed', linked);
  client.on('pairAgain', () => failed(new HandfastError('pair_again')));
  client.on('unpaired', () => {
    failed(new HandfastError('unpaired'));
    client.close();
    unpaired();
  });
  show('pairing', false);
  show('linked');
  if (client.linked) linked();
  else state('Linking…');
}

function linked() {
  state('Linked.');
  const { name, nodeId, fingerprint, gateway, gatewayName, permissions, expires } =
    client.describe();
  const facts = {
    Name: name,
    'Node id': nodeId,
    Fingerprint: fingerprint,
    Gateway: `${gatewayName ? `${gatewayName}, ` : ''}${gateway}`,
    Permissions: Object.entries(permissions)
      .flatMap(([action, all]) => all.map((one) => `${action} ${one}`))
      .join(', '),
    'Good until': expires?.toLocaleString(),
  };
  $('facts').replaceChildren(
    ...Object.entries(facts)
      .filter(([, fact]) => fact)
      .flatMap(([term, fact]) => {
        const [dt, dd] = [document.createElement('dt'), document.createElement('dd')];
        dt.textContent = term;
        dd.textContent = fact;
        return [dt, dd];
      }),
  );
}

on('send', async () => {
  await client.send($('address').value, $('text').value);
  note(`Sent to ${$('address').value}.`);
});

on('subscribe', async () => {
  await client.subscribe($('pattern').value, () => {});
  note(`Subscribed to ${$('pattern').value}.`);
});

$('forget').addEventListener('click', async () => {
  await client.forget();
  unpaired();
});

on('companion', async () => {
  const companion = await Companion.pair($('setup').value);
  $('setup').value = '';
  const link = await companion.link();
  const told = () =>
    ($('session').textContent = `Linked as ${link.session.deviceLabel ?? link.session.profile}.`);
  told();
  link.on('linked', told);
  link.on(
    'lost',
    ({ error }) => ($('session').textContent = `${error.message} It comes back by itself.`),
  );
  link.on('closed', (error) => ($('session').textContent = error.message));
  link.on('message', (data) => note(`To the companion: ${data}`));
});

try {
  const [known] = await Handfast.stored();
  if (known === undefined) unpaired();
  else use(await Handfast.open(known.addresses[0], { key: known.key }));
} catch (error) {
  if (error.code !== 'not_paired') failed(error);
  unpaired();
}
