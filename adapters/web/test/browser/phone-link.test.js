// The page behind a link for phones in Chromium, with the real gateway.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gateway } from '../support/gateway.js';
import { Browser, accessible, shot } from '../support/site.js';

/** A gateway that phones on this machine reach. */
async function started(t, more = []) {
  const gateway = await Gateway.start(t, { more });
  return { gateway, url: `http://${gateway.address}` };
}

const invite = (gateway, url, ...more) =>
  gateway.json('companions', 'invite', '--link', '--public-url', url, ...more);

/** Opens a link on a phone, and notes every request that leaves the page. */
async function opened(t, link) {
  const browser = await Browser.start(t, { viewport: { width: 360, height: 740 } });
  const page = await browser.page('about:blank');
  const requests = [];
  page.on('request', (request) => requests.push(request));
  await page.goto(link);
  return { browser, page, requests };
}

test('a companion is let in by a tap, and not before', async (t) => {
  const { gateway, url } = await started(t);
  const { link } = await invite(gateway, url, '--for-device', "Ana's phone");
  assert.match(link, new RegExp(`^${url}/p#`));
  const { browser, page, requests } = await opened(t, link);
  const button = page.getByRole('button', { name: 'Pair this device' });
  await button.waitFor();
  // The payload is in neither the address nor the history.
  assert.equal(page.url(), `${url}/p`);
  assert.equal(await page.evaluate(() => history.length), 2);
  const status = await gateway.json('codes', 'list');
  const fingerprint = await page.locator('#fingerprint').textContent();
  assert.equal(fingerprint, status.pairing.fingerprint);
  await page.getByText("Ana's phone").waitFor();
  await page.getByText('It will be allowed').waitFor();
  assert.deepEqual((await gateway.json('companions', 'list')).items, []);
  await accessible(page);
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 360);
  await shot(page, 'phone-link');
  await button.click();
  await page.getByText('Paired.').waitFor();
  assert.equal((await gateway.json('companions', 'list')).items.length, 1);
  // Every request went to the gateway, and none told where it came from.
  for (const request of requests) {
    assert.ok(request.url().startsWith(`${url}/`), request.url());
    assert.equal(request.headers().referer ?? '', '', request.url());
  }
  assert.deepEqual(browser.errors, []);
  // The code is spent.
  await page.goto('about:blank');
  await page.goto(link);
  await button.click();
  await page.getByText(/used|known|spent/).waitFor();
});

test('a code pairs the browser as a node with what the code grants', async (t) => {
  const { gateway } = await started(t, ['--public-url', 'ws://127.0.0.1:1']);
  const { link } = await gateway.json('codes', 'create', '--link', '--read', '/lights/**');
  // The gateway's port is known only once it runs.
  const { page } = await opened(t, link.replace('127.0.0.1:1', gateway.address));
  await page.getByText('read:/lights/**').waitFor();
  await page.getByLabel('Name of this device').fill('My Phone');
  await accessible(page);
  await page.getByRole('button', { name: 'Pair this device' }).click();
  await page.getByText('Paired.').waitFor();
  const node = await gateway.json('nodes', 'describe', 'My Phone');
  assert.equal(node.standing, 'paired');
});

test('a link of another gateway is told nothing, and an unknown one says so', async (t) => {
  const { gateway, url } = await started(t);
  const { gateway: other, url: elsewhere } = await started(t);
  const { link } = await invite(other, elsewhere, '--bound');
  const { page } = await opened(t, link.replace(elsewhere, url));
  await page.getByText('This link is for another gateway').waitFor();
  const { link: foreign } = await invite(other, elsewhere);
  await page.goto('about:blank');
  await page.goto(foreign.replace(elsewhere, url));
  await page.getByText('this link counts no more').waitFor();
  assert.deepEqual((await gateway.json('companions', 'list')).items, []);
  await page.goto(`${url}/p`);
  await page.getByText('This page opens from a QR code').waitFor();
});

test('the page alone may run WebAssembly, and without links there is none', async (t) => {
  const { url } = await started(t);
  const page = await fetch(`${url}/p`);
  const policy = page.headers.get('content-security-policy');
  assert.match(policy, /script-src 'self' 'wasm-unsafe-eval'/);
  assert.equal(page.headers.get('referrer-policy'), 'no-referrer');
  const login = await fetch(`${url}/login`);
  assert.ok(!login.headers.get('content-security-policy').includes('wasm'));
  const { gateway: quiet, url: off } = await started(t, ['--no-links']);
  assert.equal((await fetch(`${off}/p`)).status, 404);
  await assert.rejects(invite(quiet, off), /--no-links/);
  const { gateway: plain } = await started(t);
  await assert.rejects(invite(plain, 'ws://192.168.1.10:8765'), /not https/);
});
