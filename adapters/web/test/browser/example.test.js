// The example page in Chromium, with the real gateway.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gateway } from '../support/gateway.js';
import { Browser, shot, site } from '../support/site.js';

const NAME = 'My browser';

/** Waits until the page tells this state. */
const tells = (page, text) => page.locator('#state', { hasText: text }).waitFor();
const logged = (page, text) => page.locator('#log li', { hasText: text }).first().waitFor();

/** Fills in the form and submits it. */
async function asks(page, gateway, method, code) {
  await page.getByLabel('Gateway', { exact: true }).fill(gateway.url);
  await page.getByLabel('Name of this page').fill(NAME);
  await page.getByLabel(method).check();
  if (code !== undefined) await page.getByLabel('Code', { exact: true }).fill(code);
  await page.getByRole('button', { name: 'Pair', exact: true }).click();
}

async function pairsByPin(page, gateway) {
  await asks(page, gateway, 'The gateway shows a PIN');
  await tells(page, 'The gateway shows a PIN.');
  await page.getByLabel('PIN that the gateway shows').fill(await gateway.pin(NAME));
  await page.getByRole('button', { name: 'Submit' }).click();
  await tells(page, 'Linked.');
}

test('a page pairs by PIN, is linked again after a reload and after the browser was closed', async (t) => {
  const [gateway, origin, browser] = await Promise.all([
    Gateway.start(t),
    site(t),
    Browser.start(t),
  ]);
  let page = await browser.page(`${origin}/example/`);
  await tells(page, 'Not paired.');
  await shot(page, 'example-start');
  await asks(page, gateway, 'The gateway shows a PIN');
  const pin = await gateway.pin(NAME);
  await page.getByLabel('PIN that the gateway shows').fill(pin === '000000' ? '000001' : '000000');
  await page.getByRole('button', { name: 'Submit' }).click();
  await page.getByText('4 attempts are left.').waitFor();
  await shot(page, 'example-wrong-pin');
  await page.getByLabel('PIN that the gateway shows').fill(pin);
  await page.getByRole('button', { name: 'Submit' }).click();
  await tells(page, 'Linked.');
  await shot(page, 'example-linked');
  const { items: paired } = await gateway.json('paired', 'list');
  const { fingerprint } = paired[0].device;
  await page.getByText(fingerprint).waitFor();

  await page.reload();
  await tells(page, 'Linked.');
  await page.getByText(fingerprint).waitFor();
  await browser.close();
  await browser.open();
  page = await browser.page(`${origin}/example/`);
  await tells(page, 'Linked.');
  await page.getByText(fingerprint).waitFor();
  assert.deepEqual(browser.errors, []);
});

test('messages go both ways, and the link comes back after the gateway was away', async (t) => {
  const [gateway, origin, browser] = await Promise.all([
    Gateway.start(t),
    site(t),
    Browser.start(t),
  ]);
  const page = await browser.page(`${origin}/example/`);
  await pairsByPin(page, gateway);
  const watched = await gateway.watch(t);
  await page.getByLabel('Text', { exact: true }).fill('hello');
  await page.getByRole('button', { name: 'Send' }).click();
  await watched.find(/"hello"/);
  await page.getByRole('button', { name: 'Subscribe' }).click();
  await logged(page, 'Subscribed to /lights/**.');
  await gateway.verb('nodes', 'send', NAME, '/lights/2', 'on');
  await logged(page, '/lights/2: on');

  await gateway.kill();
  await tells(page, 'The link was lost.');
  await shot(page, 'example-lost');
  await gateway.restart();
  await tells(page, 'Linked.');
  await gateway.verb('nodes', 'send', NAME, '/lights/3', 'on');
  await logged(page, '/lights/3: on');
});

test('a page pairs by a code, by a QR code and by approval', async (t) => {
  const [gateway, origin, browser] = await Promise.all([
    Gateway.start(t),
    site(t),
    Browser.start(t),
  ]);
  const page = await browser.page(`${origin}/example/`);
  const forgets = async () => {
    await page.getByRole('button', { name: 'Forget this pairing' }).click();
    await tells(page, 'Not paired.');
  };
  const { code } = await gateway.json('codes', 'create', '--read', '/lights/**');
  await asks(page, gateway, 'I have a code', code);
  await page.getByText('read /lights/**').waitFor();
  await forgets();
  const { invitation } = await gateway.json('codes', 'create', '--qr');
  await asks(page, gateway, 'I have a code', invitation);
  await tells(page, 'Linked.');
  await forgets();
  await asks(page, gateway, 'The operator approves');
  await tells(page, 'The operator can approve this page now.');
  await shot(page, 'example-approval');
  const { devices: pending } = await gateway.json('pending');
  await page.getByText(pending[0].fingerprint).first().waitFor();
  await gateway.verb('approve', pending[0].node_id, '--yes');
  await tells(page, 'Linked.');
});

test('a page that is revoked says so, and pairs anew', async (t) => {
  const [gateway, origin, browser] = await Promise.all([
    Gateway.start(t),
    site(t),
    Browser.start(t),
  ]);
  const page = await browser.page(`${origin}/example/`);
  await pairsByPin(page, gateway);
  await gateway.verb('nodes', 'revoke', NAME, '--yes');
  await page.getByRole('alert').filter({ hasText: 'The operator revoked this device.' }).waitFor();
  await shot(page, 'example-revoked');
  const { code } = await gateway.json('codes', 'create');
  await asks(page, gateway, 'I have a code', code);
  await tells(page, 'Linked.');
});

test('two pages do not use one pairing at once', async (t) => {
  const [gateway, origin, browser] = await Promise.all([
    Gateway.start(t),
    site(t),
    Browser.start(t),
  ]);
  const first = await browser.page(`${origin}/example/`);
  await pairsByPin(first, gateway);
  const second = await browser.page(`${origin}/example/`);
  await second.getByRole('alert').filter({ hasText: 'Another page or worker' }).waitFor();
  await tells(first, 'Linked.');
  await first.close();
  await second.reload();
  await tells(second, 'Linked.');
});

test('a page becomes a companion, whose link comes back and ends with its session', async (t) => {
  const origin = await site(t);
  const config = `[setup]\norigins = ["${origin}"]\n`;
  const [gateway, browser] = await Promise.all([Gateway.start(t, { config }), Browser.start(t)]);
  const page = await browser.page(`${origin}/example/`);
  const { payload } = await gateway.json(
    'companions',
    'invite',
    '--public-url',
    gateway.url,
    '--for-device',
    'Phone',
  );
  await page.getByLabel('Setup code').fill(payload);
  await page.getByRole('button', { name: 'Open a session' }).click();
  const session = (text) => page.locator('#session', { hasText: text }).waitFor();
  await session('Linked as Phone.');
  await gateway.kill();
  await session('It comes back by itself.');
  await gateway.restart();
  await session('Linked as Phone.');
  await shot(page, 'example-companion');
  await gateway.verb('companions', 'revoke', '--all', '--yes');
  await session('The session does not exist or was revoked.');
});

test('a page of another origin is no companion, and the gateway says what its operator can do', async (t) => {
  const [gateway, origin, browser] = await Promise.all([
    Gateway.start(t),
    site(t),
    Browser.start(t),
  ]);
  const page = await browser.page(`${origin}/example/`);
  const { payload } = await gateway.json('companions', 'invite', '--public-url', gateway.url);
  await page.getByLabel('Setup code').fill(payload);
  await page.getByRole('button', { name: 'Open a session' }).click();
  await page.getByRole('alert').filter({ hasText: 'under [setup]' }).waitFor();
});

test('the example is usable at 320 pixels, in the dark', async (t) => {
  const options = { viewport: { width: 320, height: 640 }, colorScheme: 'dark' };
  const [gateway, origin, browser] = await Promise.all([
    Gateway.start(t),
    site(t),
    Browser.start(t, options),
  ]);
  const page = await browser.page(`${origin}/example/`);
  await pairsByPin(page, gateway);
  await shot(page, 'example-320-dark');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 320, `${wide} pixels`);
});
