// The page with which a phone sets a node up in the secure mode, in Chromium, with the real node and the
// real gateway.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gateway, SetUpNode } from '../support/gateway.js';
import { Browser, shot } from '../support/site.js';

/** A phone at a node, the node's label, and a gateway with an invitation. */
async function phone(t, { options, more } = {}) {
  const [gateway, node, browser] = await Promise.all([
    Gateway.start(t, { more: [] }),
    SetUpNode.startSealed(t, more),
    Browser.start(t, options),
  ]);
  const { proof, access_point: name } = await node.label();
  const made = await gateway.verb('codes', 'create', '--text');
  const [invitation] = made.split('\n');
  const page = await browser.page(node.url);
  return { gateway, node, browser, proof, name, invitation, page };
}

const says = (page, text) => page.locator('#state', { hasText: text }).waitFor();
const fails = (page, text) => page.getByRole('alert').filter({ hasText: text }).waitFor();

async function proves(page, proof) {
  await page.getByLabel('Proof').fill(proof);
  await page.getByRole('button', { name: 'Go on' }).click();
}

/** Fills in what is given, and presses the button. */
async function setsUp(page, { network = 'HomeNetwork', password, room = 'Kitchen', invitation }) {
  await page.getByLabel(network).check();
  if (password !== undefined) await page.getByLabel('Wi-Fi password').fill(password);
  await page.getByLabel('Room').fill(room);
  await page.getByLabel('Invitation of the gateway').fill(invitation);
  await page.getByRole('button', { name: 'Set up' }).click();
}

const password = 'right password';

/** Asks the gateway until the node is linked. */
async function online(gateway, name) {
  for (let tries = 0; tries < 300; tries += 1) {
    const node = await gateway.json('nodes', 'describe', name);
    if (node.status === 'online') return node;
  }
  throw new Error(`${name} is not online`);
}

test('a phone with the label sets a node up by an invitation, and the gateway lists it online', async (t) => {
  const { gateway, node, browser, proof, name, invitation, page } = await phone(t);
  const sent = [];
  page.on('request', (request) => sent.push(request.url() + (request.postData() || '')));
  const module = await fetch(`${node.url}/setup/setup.wasm`);
  assert.equal(module.headers.get('content-type'), 'application/wasm');
  await page.getByLabel('Proof').waitFor();
  await shot(page, 'sealed-proof');
  // As people type: small letters, spaces, and a dash that a keyboard made long.
  await proves(page, proof.toLowerCase().replace('-', ' ').replace('-', '–'));
  await page.getByLabel('HomeNetwork').waitFor();
  assert.equal(await page.title(), `Set up ${name}`);
  await shot(page, 'sealed-form');
  await setsUp(page, { password, invitation });
  await says(page, 'The node is set up.');
  await shot(page, 'sealed-done');
  assert.equal((await online(gateway, name)).room, 'Kitchen');
  assert.deepEqual(browser.errors, []);
  // Nothing that was typed, and nothing that was asked, is in clear.
  const paths = sent.map((text) => new URL(text.split('\0')[0]).pathname);
  assert.ok(paths.some((path) => path.startsWith('/api/v1/sealed/')));
  assert.ok(paths.every((path) => /^\/(setup\/|api\/v1\/sealed|$)/.test(path)), paths.join());
  for (const secret of [password, invitation, proof, proof.replaceAll('-', ''), 'Kitchen']) {
    assert.ok(!sent.some((text) => text.includes(secret)));
  }
  const stored = await page.evaluate(() => JSON.stringify({ ...sessionStorage, ...localStorage }));
  assert.ok(!stored.includes(proof) && !stored.includes('handfast:1?'), stored);
});

test('a node that is set up is given another Wi-Fi over the sealed exchange, and stays paired', async (t) => {
  const { gateway, page, proof, name, invitation } = await phone(t);
  await proves(page, proof);
  await setsUp(page, { password, invitation });
  await says(page, 'The node is set up.');
  const { node_id: id } = await online(gateway, name);
  assert.ok(id);
  await page.getByRole('button', { name: 'Change the settings' }).click();
  await page.getByLabel('IoT_Network').check();
  await page.getByLabel('Wi-Fi password').fill(password);
  await page.getByRole('button', { name: 'Set up' }).click();
  await says(page, 'The node is set up.');
  assert.equal((await online(gateway, name)).node_id, id);
});

test('an open access point says what it does not protect', async (t) => {
  const { page, proof } = await phone(t, { more: ['--simulated-open-only'] });
  await proves(page, proof);
  await page.getByLabel('HomeNetwork').waitFor();
  assert.ok(await page.locator('#open-instead').isHidden());
  // Two starts fail, 10 s apart, before the third one is open.
  await new Promise((resolve) => setTimeout(resolve, 21000));
  await page.reload();
  await proves(page, proof);
  await page.getByText('anybody can offer a network of the same name').waitFor();
  await shot(page, 'sealed-open-instead');
});

test('a wrong proof is told with a countdown, and the right one goes on', async (t) => {
  const { page, proof } = await phone(t);
  await proves(page, 'A');
  await fails(page, 'A proof looks like ABCD-EFGH-JKLM.');
  await proves(page, 'ABCD-EFGH-JKLM');
  await fails(page, 'This is not the proof of this node.');
  await page.getByText('Try again in 1 s.').waitFor();
  assert.ok(await page.getByRole('button', { name: 'Go on' }).isDisabled());
  await shot(page, 'sealed-wrong-proof');
  await page.getByText('Try again now.').waitFor();
  await proves(page, proof);
  await page.getByLabel('HomeNetwork').waitFor();
});

test('a proof that is not compared yet is told with a countdown, too', async (t) => {
  const { page, proof, browser, node } = await phone(t);
  await proves(page, 'ABCD-EFGH-JKLM');
  await page.getByText('Try again now.').waitFor();
  await proves(page, 'ABCD-EFGH-JKLM');
  await page.getByText('Try again in 2 s.').waitFor();
  // Another page of the same phone knows nothing of that.
  const other = await browser.page(node.url);
  await proves(other, proof);
  await fails(other, 'The node waits before it compares a proof again.');
  await other.getByText('Try again now.').waitFor();
  await proves(other, proof);
  await other.getByLabel('HomeNetwork').waitFor();
});

test('a wrong password is told, and the second try needs nothing else', async (t) => {
  const { gateway, page, proof, name, invitation } = await phone(t);
  await proves(page, proof);
  await setsUp(page, { password: 'wrong password', invitation });
  await fails(page, 'The Wi-Fi password was not accepted');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'password');
  await shot(page, 'sealed-wrong-password');
  await page.keyboard.type(password);
  await page.keyboard.press('Enter');
  await says(page, 'The node is set up.');
  await online(gateway, name);
});

test('an invitation that is none, or is withdrawn, is told at its field', async (t) => {
  const { gateway, page, proof, invitation } = await phone(t);
  await proves(page, proof);
  await setsUp(page, { password, invitation: 'K7QF-847291' });
  await page.getByText('Paste the whole line').first().waitFor();
  await setsUp(page, { password, invitation: 'handfast:1?a=ws://192.168.1.10' });
  await says(page, 'Check what is marked.');
  await page.getByText('the text is no invitation').waitFor();
  const selector = new URLSearchParams(invitation.split('?')[1]).get('c').slice(0, 4);
  await gateway.verb('codes', 'withdraw', selector);
  await setsUp(page, { password, invitation });
  await fails(page, 'The gateway refused the node');
  await fails(page, 'have a new one made');
  await shot(page, 'sealed-refused');
});

test('a command center takes the place of the invitation under “More”', async (t) => {
  const { gateway, page, proof, name } = await phone(t);
  const { token } = await gateway.json('codes', 'create', '--node-id', name);
  await proves(page, proof);
  await page.locator('summary').click();
  await page.getByLabel('Address of the gateway').fill(`http://${gateway.address}`);
  await page.getByLabel('Token of the gateway').fill(token);
  await setsUp(page, { password, invitation: '' });
  await says(page, 'The node is set up.');
  assert.equal((await gateway.json('nodes', 'describe', name)).flow, 'provisioning');
});

test('an exchange that is lost is opened and proven anew without asking', async (t) => {
  const { node, page, proof, invitation, browser } = await phone(t);
  await proves(page, proof);
  await page.getByLabel('HomeNetwork').waitFor();
  await node.restart();
  await page.getByRole('button', { name: 'Look for networks again' }).click();
  // The list from before is shown until the new one has come.
  await page.locator('#scan:enabled').waitFor();
  await page.getByLabel('HomeNetwork').waitFor();
  assert.ok(await page.getByLabel('Proof').isHidden());
  await node.restart();
  await setsUp(page, { password, invitation });
  await says(page, 'The node is set up.');
  // Chromium logs the answer that the exchange is not known.
  const others = browser.errors.filter((error) => !error.includes('404'));
  assert.deepEqual(others, []);
});

test('a node with another proof at the same address is not taken for the first', async (t) => {
  const { node, page, proof } = await phone(t);
  await proves(page, proof);
  await page.getByLabel('HomeNetwork').waitFor();
  await node.replace(t);
  await page.getByRole('button', { name: 'Look for networks again' }).click();
  await fails(page, 'This is not the proof of this node.');
  await page.getByText('Try again now.').waitFor();
  await proves(page, (await node.label()).proof);
  await page.getByLabel('HomeNetwork').waitFor();
});

test('the page goes on where the node is, after it was away', async (t) => {
  const { page, node, gateway, proof, invitation } = await phone(t);
  await proves(page, proof);
  await gateway.kill();
  await setsUp(page, { password, invitation });
  await says(page, 'Asking the gateway…');
  node.pause();
  await page.getByText('The node does not answer: its own network is off').waitFor();
  node.resume();
  await page.locator('#away').waitFor({ state: 'hidden' });
  await gateway.restart();
  await says(page, 'The node is set up.');
});

test('a browser without WebAssembly is told so, and sends nothing', async (t) => {
  const { page, node } = await phone(t, { options: { jitless: true } });
  await says(page, 'This browser cannot seal what it sends.');
  await page.getByText('in another browser').waitFor();
  await page.getByText('handfast-node provision --plain').waitFor();
  assert.equal(await page.locator('#here').textContent(), node.url);
  assert.equal(await page.evaluate(() => typeof WebAssembly), 'undefined');
  assert.ok(await page.getByLabel('Proof').isHidden());
  assert.ok(await page.locator('#form').isHidden());
  await shot(page, 'sealed-jitless');
});

test('the page is usable at 320 pixels, in the dark', async (t) => {
  const options = { viewport: { width: 320, height: 640 }, colorScheme: 'dark' };
  const { page, proof, invitation } = await phone(t, { options });
  const width = () => page.evaluate(() => document.documentElement.scrollWidth);
  await page.getByLabel('Proof').waitFor();
  await shot(page, 'sealed-320-dark-proof');
  assert.ok((await width()) <= 320, `${await width()} pixels`);
  await proves(page, proof);
  await page.getByLabel('HomeNetwork').waitFor();
  await page.locator('summary').click();
  await shot(page, 'sealed-320-dark');
  assert.ok((await width()) <= 320, `${await width()} pixels`);
  await setsUp(page, { password: 'wrong password', invitation });
  await fails(page, 'The Wi-Fi password was not accepted');
  await shot(page, 'sealed-320-dark-failed');
  assert.ok((await width()) <= 320, `${await width()} pixels`);
  const unlabelled = await page.evaluate(
    () =>
      [...document.querySelectorAll('input')].filter(({ labels }) => labels.length === 0).length,
  );
  assert.equal(unlabelled, 0);
});

test('probes lead to the page until the node is set up, and are answered then', async (t) => {
  const { page, node, proof, invitation } = await phone(t);
  const probe = (path) => fetch(`${node.url}${path}`, { redirect: 'manual' });
  const probes = {
    '/generate_204': [204, ''],
    '/hotspot-detect.html': [200, /Success/],
    '/library/test/success.html': [200, /Success/],
    '/success.txt': [200, /^success/],
    '/connecttest.txt': [200, /Microsoft Connect Test/],
  };
  for (const path of Object.keys(probes)) {
    const answer = await probe(path);
    assert.deepEqual([answer.status, answer.headers.get('location')], [302, `${node.url}/`], path);
  }
  await proves(page, proof);
  await setsUp(page, { password, invitation });
  await says(page, 'The node is set up.');
  for (const [path, [status, text]] of Object.entries(probes)) {
    const answer = await probe(path);
    assert.equal(answer.status, status, path);
    assert.match(await answer.text(), new RegExp(text), path);
  }
});
