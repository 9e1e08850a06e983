// The operator's page in Chromium, with the real gateway and real nodes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gateway, NativeNode, privateFolder } from '../support/gateway.js';
import { Browser, accessible, shot } from '../support/site.js';

/** A gateway, and a page of an operator who has logged in. */
async function operator(t, { role = 'owner', more, options } = {}) {
  const gateway = await Gateway.start(t, { more: more ?? [] });
  const browser = await Browser.start(t, options);
  const page = await login(gateway, browser, role);
  return { gateway, browser, page };
}

async function login(gateway, browser, role = 'owner') {
  const { url } = await gateway.json('login', '--role', role, '--no-wait');
  const page = await browser.page(url);
  await page.getByRole('button', { name: /log in/i }).click();
  await page.getByRole('heading', { name: 'Waiting' }).waitFor();
  return page;
}

const card = (page, name) => page.locator('article.card', { hasText: name });

test('a node that asks shows up by itself, and one click approves what was seen', async (t) => {
  const { gateway, page, browser } = await operator(t);
  await page.getByText('No node waits').waitFor();
  const node = await NativeNode.start(t, gateway, 'Kitchen Pi', ['--approval']);
  const asks = card(page, 'Kitchen Pi');
  await asks.waitFor();
  const shown = (await asks.locator('.fingerprint').textContent()).trim().split(/\s+/);
  assert.equal(shown.length, 6);
  assert.equal(shown.join('-'), await node.fingerprint());
  await accessible(page);
  await shot(page, 'admin-request');
  await asks.getByRole('button', { name: 'Approve Kitchen Pi', exact: true }).click();
  await asks.getByText('Approved by you.').waitFor();
  assert.equal(await node.ends(), 0);
  assert.equal((await gateway.json('nodes', 'describe', 'Kitchen Pi')).standing, 'paired');
  assert.deepEqual(browser.errors, []);
});

test('a PIN is shown large with its countdown while pairing is open', async (t) => {
  const { gateway, page } = await operator(t);
  await page.getByRole('button', { name: /Open for 5 minutes/ }).click();
  await page.getByText(/closes in [45]:\d\d/).waitFor();
  const node = await NativeNode.start(t, gateway, 'Lamp', ['--pin']);
  const shown = card(page, 'Lamp');
  const pin = (await shown.locator('.digits').textContent()).trim();
  await shown.getByText(/in \d:\d\d/).waitFor();
  await shot(page, 'admin-pin');
  // It is still there for who looks again.
  await page.reload();
  assert.equal((await card(page, 'Lamp').locator('.digits').textContent()).trim(), pin);
  await node.types(pin);
  assert.equal(await node.ends(), 0);
  await page.goto(new URL('/admin/nodes', page.url()).href);
  await page.getByRole('link', { name: 'Lamp' }).waitFor();
});

test('what is in force stands beside what is offered', async (t) => {
  const { gateway, page } = await operator(t);
  const code = await gateway.json('codes', 'create', '--read', '/lights/**');
  const node = await NativeNode.start(t, gateway, 'Desk', ['--code']);
  await node.types(code.code);
  assert.equal(await node.ends(), 0);
  const { node_id: id } = await gateway.json('nodes', 'describe', 'Desk');
  await page.goto(new URL(`/admin/nodes/${id}`, page.url()).href);
  await page.locator('#in-force', { hasText: '/lights/**' }).waitFor();
  await page.getByRole('button', { name: 'Change …' }).click();
  await page.getByLabel('Permissions, a line each').fill('read:/lights/**\nwrite:/lights/desk');
  await page.getByRole('button', { name: 'Change', exact: true }).click();
  await page.locator('#offered', { hasText: '/lights/desk' }).waitFor();
  assert.ok(!(await page.locator('#in-force').textContent()).includes('desk'));
  await accessible(page);
  await shot(page, 'admin-node');
});

test('a node that is muted elsewhere goes quiet on the page, and back', async (t) => {
  const { gateway, page } = await operator(t);
  const code = await gateway.json('codes', 'create');
  const node = await NativeNode.start(t, gateway, 'Desk', ['--code']);
  await node.types(code.code);
  assert.equal(await node.ends(), 0);
  await page.goto(new URL('/admin/nodes', page.url()).href);
  const row = page.locator('article.row', { hasText: 'Desk' });
  await row.getByText('paired').waitFor();
  await gateway.verb('nodes', 'mute', 'Desk');
  await row.getByText('muted').waitFor();
  await gateway.verb('nodes', 'unmute', 'Desk');
  await row.getByText('paired').waitFor();
});

test('an entry that was decided elsewhere stays in place and says so', async (t) => {
  const { gateway, page } = await operator(t);
  for (const name of ['One', 'Two']) {
    await NativeNode.start(t, gateway, name, ['--approval']);
    await card(page, name).waitFor();
  }
  await gateway.verb('reject', 'One');
  const gone = card(page, 'One');
  await gone.getByText('Rejected by operator.').waitFor();
  assert.equal(await gone.getByRole('button').count(), 0);
  // What stands below has not moved up.
  const names = await page.locator('article.card h3').allTextContents();
  assert.deepEqual(names.map((name) => name.trim().split(' ')[0]), ['One', 'Two']);
});

test('a page shows what another page of the same operator decided', async (t) => {
  const { gateway, browser, page } = await operator(t);
  await NativeNode.start(t, gateway, 'Both', ['--approval']);
  // A page that is hidden hears nothing, so this one has to have seen the request before.
  await card(page, 'Both').waitFor();
  const second = await browser.page(new URL('/admin', page.url()).href);
  await card(second, 'Both').getByRole('button', { name: 'Approve Both', exact: true }).click();
  await card(second, 'Both').getByText('Approved by you.').waitFor();
  await page.bringToFront();
  await page.locator('article.decided', { hasText: 'Both' }).waitFor();
});

test('a session that is revoked is told, and its page decides nothing more', async (t) => {
  const { gateway, page } = await operator(t);
  const { items: operators } = await gateway.json('operators', 'list');
  await gateway.verb('operators', 'revoke', operators[0].id, '--yes');
  await page.getByText('Your session has ended').waitFor();
  await page.reload();
  await page.waitForURL(/\/login/);
});

test('a viewer sees everything but PINs, and no button that decides', async (t) => {
  const { gateway, page } = await operator(t, { role: 'viewer', more: ['--pairing'] });
  await NativeNode.start(t, gateway, 'Lamp', ['--pin']);
  await card(page, 'Lamp').getByText('The PIN is shown to those who may decide.').waitFor();
  assert.equal(await page.locator('main button').count(), 0);
});

test('the page fits a phone, and has no fault for who hears it', async (t) => {
  const options = { viewport: { width: 360, height: 740 } };
  const { gateway, page } = await operator(t, { options });
  await NativeNode.start(t, gateway, 'A node with a long name for a phone', ['--approval']);
  await card(page, 'A node').waitFor();
  await shot(page, 'admin-phone');
  for (const part of ['', '/nodes', '/codes', '/companions', '/senders', '/certificates', '/operators', '/log', '/health']) {
    await page.goto(new URL(`/admin${part}`, page.url()).href);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 360, `${part}: ${wide}`);
    await accessible(page);
  }
});

test('a network that is approved in advance shows what is left of it, and is ended', async (t) => {
  const options = { viewport: { width: 360, height: 740 } };
  const { gateway, browser, page } = await operator(t, { options });
  await page.getByText('Everybody is asked about.').waitFor();
  await page.getByRole('button', { name: 'Approve a network …' }).click();
  await page.getByLabel('The network').fill('127.0.0.0/8');
  await page.getByLabel('At most so many nodes').fill('2');
  await page.getByLabel('Permissions, a line each').fill('read:/lights/**');
  await accessible(page);
  await shot(page, 'admin-network-dialog');
  await page.getByRole('button', { name: 'Approve them' }).click();
  const policy = page.locator('#policies article.row', { hasText: '127.0.0.0/8' });
  await policy.getByText(/in force for 2 more, ends in \d:\d\d, by login/).waitFor();
  const node = await NativeNode.start(t, gateway, 'Shelf', ['--approval']);
  assert.equal(await node.ends(), 0);
  await policy.getByText(/for 1 more, 1 approved/).waitFor();
  await page.getByText('No node waits').waitFor();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 360, `${wide}`);
  await accessible(page);
  await shot(page, 'admin-policies');
  // What another page or a terminal makes shows up by itself.
  await gateway.verb('approve', '--from', '10.0.0.0/8', '--until', '10m', '--max', '3', '--yes');
  await page.locator('#policies article.row', { hasText: '10.0.0.0/8' }).waitFor();
  await page.getByRole('button', { name: 'End the approval of 127.0.0.0/8' }).click();
  await page.getByRole('button', { name: 'Yes' }).click();
  await policy.waitFor({ state: 'detached' });
  await NativeNode.start(t, gateway, 'Late', ['--approval']);
  await card(page, 'Late').waitFor();
  assert.deepEqual(browser.errors, []);
});

test('a network that is none is said in words, and the page goes on', async (t) => {
  const { page } = await operator(t);
  await page.getByRole('button', { name: 'Approve a network …' }).click();
  await page.getByLabel('The network').fill('0.0.0.0/0');
  await page.getByRole('button', { name: 'Approve them' }).click();
  await page.locator('#policies').getByText(/holds every address/).waitFor();
});

test('a node takes the place of another, after the page has said what that does', async (t) => {
  const options = { viewport: { width: 360, height: 740 } };
  const { gateway, browser, page } = await operator(t, { options });
  const code = await gateway.json('codes', 'create', '--read', '/heating/**');
  const before = await NativeNode.start(t, gateway, 'Boiler', ['--code']);
  await before.types(code.code);
  assert.equal(await before.ends(), 0);
  const old = await gateway.json('nodes', 'describe', 'Boiler');
  const node = await NativeNode.start(t, gateway, 'Boiler', ['--approval']);
  const asks = card(page, 'Boiler');
  await asks.getByText('A node with this name is paired').waitFor();
  await accessible(page);
  await shot(page, 'admin-namesake');
  await asks.getByRole('button', { name: 'Approve with … Boiler' }).click();
  assert.equal(await page.locator('#places option').first().getAttribute('value'), old.node_id);
  await page.getByLabel('In the place of the node').fill(old.node_id);
  await accessible(page);
  await shot(page, 'admin-place-dialog');
  await page.getByRole('button', { name: 'Approve', exact: true }).click();
  const said = page.getByRole('dialog');
  await said.getByText('its key for good').waitFor();
  assert.ok((await said.textContent()).includes(old.fingerprint.replaceAll('-', ' ')));
  await accessible(page);
  await shot(page, 'admin-place-sure');
  await page.getByRole('button', { name: 'Approve in its place' }).click();
  await asks.getByText(`in the place of ${old.node_id.slice(0, 8)}`).waitFor();
  assert.equal(await node.ends(), 0);
  const now = await gateway.json('nodes', 'describe', 'Boiler');
  assert.equal(now.replaces[0].node_id, old.node_id);
  assert.deepEqual(now.in_force?.permissions.read ?? now.offered?.permissions.read ?? ['/heating/**'], ['/heating/**']);
  assert.equal((await gateway.json('nodes', 'describe', old.node_id)).standing, 'revoked');
  assert.deepEqual(browser.errors, []);
});

test('an owner sees who is logged in, and ends a session and a token', async (t) => {
  const { gateway, browser, page } = await operator(t);
  await gateway.json('tokens', 'create', '--role', 'viewer', '--name', 'backup');
  const { url } = await gateway.json('login', '--role', 'viewer', '--as', 'ben', '--no-wait');
  // Another browser: two sessions of one would share its cookie.
  const elsewhere = await Browser.start(t);
  const other = await elsewhere.page(url);
  await other.getByRole('button', { name: /log in/i }).click();
  await other.getByRole('heading', { name: 'Waiting' }).waitFor();
  await page.bringToFront();
  await page.goto(new URL('/admin/operators', page.url()).href);
  await page.locator('article.row', { hasText: 'this browser' }).waitFor();
  await accessible(page);
  for (const name of ['ben', 'backup']) {
    await page.getByRole('button', { name: `Revoke ${name}` }).click();
    await page.getByRole('button', { name: 'Yes' }).click();
    await page.locator('#ended article.row', { hasText: name }).waitFor();
  }
  await accessible(page);
  await other.reload();
  await other.waitForURL(/\/login/);
  assert.deepEqual(browser.errors, []);
});

test('what was decided stands in the log, and on the page of the node', async (t) => {
  const { gateway, page } = await operator(t);
  const code = await gateway.json('codes', 'create');
  const node = await NativeNode.start(t, gateway, 'Desk', ['--code']);
  await node.types(code.code);
  assert.equal(await node.ends(), 0);
  await gateway.verb('nodes', 'mute', 'Desk');
  await page.goto(new URL('/admin/log', page.url()).href);
  const muted = page.locator('#entries article.row', { hasText: /mute\s+Desk/i });
  await muted.waitFor();
  // What happens elsewhere comes above it by itself.
  await gateway.verb('nodes', 'unmute', 'Desk');
  await page.locator('#entries article.row', { hasText: /unmute/i }).waitFor();
  const first = await page.locator('#entries article.row').first().textContent();
  assert.match(first, /unmute/i);
  await accessible(page);
  await page.getByLabel(/Only about the node/).fill('Desk');
  await page.getByRole('button', { name: 'Filter' }).click();
  await page.getByRole('link', { name: 'About everything' }).waitFor();
  assert.equal(await page.locator('#entries article.row', { hasText: /mint code/i }).count(), 0);
  await page.locator('#entries').getByRole('link', { name: 'Desk' }).first().click();
  await page.locator('#history article.row', { hasText: /unmute/i }).waitFor();
  await accessible(page);
});

test('health says what has to be done, and shows the key that is being replaced', async (t) => {
  const { gateway, page } = await operator(t);
  await page.goto(new URL('/admin/health', page.url()).href);
  await page.locator('#disk', { hasText: /left/ }).waitFor();
  await page.locator('#limits', { hasText: 'none is near its end' }).waitFor();
  await page.locator('#certificate-dates', { hasText: 'Root for nodes' }).waitFor();
  await page.getByRole('button', { name: 'New key of the gateway' }).click();
  await page.getByRole('button', { name: 'Yes' }).click();
  await page.locator('#key', { hasText: '0 of 0 nodes have taken the new key' }).waitFor();
  assert.ok('key_rotation' in (await gateway.json('status')));
  await accessible(page);
  await page.getByRole('button', { name: /Finish/ }).click();
  await page.getByRole('button', { name: 'Yes' }).click();
  await page.getByRole('button', { name: 'New key of the gateway' }).waitFor();
});
