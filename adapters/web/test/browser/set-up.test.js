// The page with which a phone sets a node up, in Chromium, with the real node and the real gateway.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gateway, SetUpNode } from '../support/gateway.js';
import { Browser, shot } from '../support/site.js';

/** A phone at a node, and the gateway with a token for it. */
async function phone(t, { options, more } = {}) {
  const [gateway, node, browser] = await Promise.all([
    Gateway.start(t, { more: [] }),
    SetUpNode.start(t, more),
    Browser.start(t, options),
  ]);
  const { node_id: name } = await node.info();
  const { token } = await gateway.json('codes', 'create', '--node-id', name);
  const page = await browser.page(node.url);
  await page.getByLabel('HomeNetwork').waitFor();
  return { gateway, node, browser, name, token, page, url: `http://${gateway.address}` };
}

const says = (page, text) => page.locator('#state', { hasText: text }).waitFor();
const fails = (page, text) => page.getByRole('alert').filter({ hasText: text }).waitFor();

/** Fills in what is given, and presses the button. */
async function setsUp(page, { network = 'HomeNetwork', password, room = 'Kitchen', url, token }) {
  await page.getByLabel(network).check();
  if (password !== undefined) await page.getByLabel('Wi-Fi password').fill(password);
  await page.getByLabel('Room').fill(room);
  await page.getByLabel('Address of the gateway').fill(url);
  await page.getByLabel('Token of the gateway').fill(token);
  await page.getByRole('button', { name: 'Set up' }).click();
}

test('a phone sets a node up, which is linked at the gateway then', async (t) => {
  const {
    gateway,
    node: { url: at },
    name,
    token,
    page,
    url,
    browser,
  } = await phone(t);
  const { headers } = await fetch(at);
  assert.match(
    headers.get('content-security-policy'),
    /^default-src 'none'; script-src 'self' 'wasm-unsafe-eval';/,
  );
  await shot(page, 'set-up-form');
  await setsUp(page, { password: 'right password', url, token });
  await says(page, 'The node is set up.');
  assert.equal(await page.locator('#done-network').textContent(), 'HomeNetwork');
  await shot(page, 'set-up-done');
  const node = await gateway.json('nodes', 'describe', name);
  assert.deepEqual([node.room, node.flow], ['Kitchen', 'provisioning']);
  await page.reload();
  await says(page, 'The node is set up.');
  assert.deepEqual(browser.errors, []);
});

test('a wrong password is told, and the second try needs nothing else', async (t) => {
  const { page, token, url } = await phone(t);
  await setsUp(page, { password: 'wrong password', url, token });
  await fails(page, 'The Wi-Fi password was not accepted');
  await fails(page, 'type it again');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'password');
  await shot(page, 'set-up-wrong-password');
  await page.keyboard.type('right password');
  await page.keyboard.press('Enter');
  await says(page, 'The node is set up.');
});

test('what the page or the node finds wrong stands at its field', async (t) => {
  const { page, token, url } = await phone(t);
  await page.getByRole('button', { name: 'Set up' }).click();
  await page.getByText('Choose a network.').waitFor();
  await page.getByText('Write it like https://gateway.local:8765.').waitFor();
  await shot(page, 'set-up-problems');
  await page.getByLabel('HomeNetwork').check();
  await page.getByLabel('Wi-Fi password').fill('short');
  await page.getByRole('button', { name: 'Set up' }).click();
  await page.getByText('at least 8 characters').waitFor();
  await page.locator('summary').click();
  await page.getByLabel('Name of the node at the gateway').fill('a:b');
  await setsUp(page, { password: 'right password', url, token });
  await says(page, 'Check what is marked.');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'node-id');
  const unlabelled = await page.evaluate(
    () =>
      [...document.querySelectorAll('input')].filter(({ labels }) => labels.length === 0).length,
  );
  assert.equal(unlabelled, 0);
});

test('networks that need no password, and hidden ones, can be chosen', async (t) => {
  const { page, token, url } = await phone(t);
  await page.getByLabel('CoffeeShop_Free').check();
  await page.getByLabel('Wi-Fi password').waitFor({ state: 'hidden' });
  await page.getByLabel('Another network').check();
  await page.getByLabel('Name of the network').fill('Cellar');
  await setsUp(page, { network: 'Another network', password: 'right password', url, token });
  await fails(page, 'The Wi-Fi network was not found');
  assert.equal(await page.getByLabel('Name of the network').inputValue(), 'Cellar');
  await setsUp(page, { network: 'CoffeeShop_Free', url, token });
  await says(page, 'The node is set up.');
});

test('a node that is set up is given another Wi-Fi, and keeps its gateway', async (t) => {
  const { gateway, page, name, token, url } = await phone(t);
  await setsUp(page, { password: 'right password', url, token });
  await says(page, 'The node is set up.');
  const { node_id: id } = await gateway.json('nodes', 'describe', name);
  assert.ok(id);
  await page.getByRole('button', { name: 'Change the settings' }).click();
  await page.getByLabel('Change only the Wi-Fi').waitFor();
  assert.ok(await page.getByLabel('Change only the Wi-Fi').isChecked());
  await page.getByLabel('Room').waitFor({ state: 'hidden' });
  await shot(page, 'set-up-wifi-only');
  await page.getByLabel('IoT_Network').check();
  await page.getByLabel('Wi-Fi password').fill('wrong password');
  await page.getByRole('button', { name: 'Set up' }).click();
  await fails(page, 'The Wi-Fi password was not accepted');
  await page.getByLabel('Wi-Fi password').fill('right password');
  await page.getByRole('button', { name: 'Set up' }).click();
  await says(page, 'The node is set up.');
  assert.equal(await page.locator('#done-network').textContent(), 'IoT_Network');
  assert.equal((await gateway.json('nodes', 'describe', name)).node_id, id);
  await page.getByRole('button', { name: 'Change the settings' }).click();
  await page.getByLabel('Change only the Wi-Fi').uncheck();
  await page.getByLabel('Room').waitFor();
});

test('a blocked radio makes the page ask for the country', async (t) => {
  const { page, token, url } = await phone(t, { more: ['--simulated-blocked'] });
  await fails(page, 'The node’s radio is blocked until its country is set');
  await page.getByLabel('Country').fill('X');
  await setsUp(page, { password: 'right password', url, token });
  await page.getByText('Write its two letters, such as DE.').waitFor();
  await page.getByLabel('Country').fill('xx');
  await page.getByRole('button', { name: 'Set up' }).click();
  await page.getByText('the text is no country').waitFor();
  await shot(page, 'set-up-country');
  await page.getByLabel('Country').fill('nz');
  await page.getByRole('button', { name: 'Set up' }).click();
  await says(page, 'The node is set up.');
});

test('a token that the gateway refuses is told in its words', async (t) => {
  const { page, url } = await phone(t);
  await setsUp(page, { password: 'right password', url, token: 'prov_none' });
  await fails(page, 'The gateway refused the node');
  await fails(page, 'Invalid or expired provisioning token');
  await shot(page, 'set-up-refused');
});

test('the page goes on where the node is, after it was away and after a reload', async (t) => {
  const { page, node, gateway, token, url } = await phone(t);
  await gateway.kill();
  await setsUp(page, { password: 'right password', url, token });
  await says(page, 'Asking the gateway…');
  node.pause();
  await page.getByText('The node does not answer: its own network is off').waitFor();
  await shot(page, 'set-up-away');
  node.resume();
  await page.locator('#away').waitFor({ state: 'hidden' });
  await page.reload();
  await says(page, 'Asking the gateway…');
  await gateway.restart();
  await says(page, 'The node is set up.');
});

test('a node that takes no settings any more says how it does', async (t) => {
  const { page, token, url } = await phone(t, { more: ['--setup-window', '0'] });
  await setsUp(page, { password: 'right password', url, token });
  await fails(page, 'The node takes no settings at the moment');
  await fails(page, 'switch the node off and on');
});

test('the page is usable at 320 pixels, in the dark', async (t) => {
  const options = { viewport: { width: 320, height: 640 }, colorScheme: 'dark' };
  const { page, token, url } = await phone(t, { options });
  await shot(page, 'set-up-320-dark');
  const width = () => page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok((await width()) <= 320, `${await width()} pixels`);
  await setsUp(page, { password: 'wrong password', url, token });
  await fails(page, 'The Wi-Fi password was not accepted');
  await shot(page, 'set-up-320-dark-failed');
  assert.ok((await width()) <= 320, `${await width()} pixels`);
});
