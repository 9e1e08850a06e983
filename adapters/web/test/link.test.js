// The link of a paired node with the real gateway.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Handfast, MemoryStorage } from '../js/node.js';
import { Gateway, next } from './support/gateway.js';

/** Pairs a node by PIN. */
async function paired(t, gateway, storage = new MemoryStorage(), name = 'Desk') {
  const pairing = await Handfast.pair(gateway.url, { name, storage });
  await pairing.submitPin(await gateway.pin(name));
  const client = await pairing.waitForApproval();
  t.after(() => client.close());
  return client;
}

/** Sends to a node until the gateway knows its subscription. */
async function sent(gateway, ...message) {
  return gateway.verb('nodes', 'send', 'Desk', ...message);
}

test('messages go both ways, to those who subscribed', async (t) => {
  const gateway = await Gateway.start(t);
  const client = await paired(t, gateway);
  const watched = await gateway.watch(t);
  await client.send('/lights/1', 'hello');
  await watched.find(/"message".*"write".*"\/lights\/1"|"\/lights\/1".*"hello"/);

  const heard = [];
  const off = await client.subscribe('/lights/*', ({ address, text }) =>
    heard.push(`${address} ${text}`),
  );
  const all = [];
  client.on('message', ({ address, action }) => all.push(`${action} ${address}`));
  const last = new Promise((resolve) =>
    client.on('message', ({ address }) => address === '/end' && resolve()),
  );
  await sent(gateway, '/lights/2', 'on');
  await sent(gateway, '/audio', 'off');
  await sent(gateway, '/end', '');
  await last;
  assert.deepEqual(heard, ['/lights/2 on']);
  assert.deepEqual(
    all.map((message) => message.split(' ')[1]),
    ['/lights/2', '/audio', '/end'],
  );
  off();
});

test('what is not allowed is told, and what is none is refused', async (t) => {
  const gateway = await Gateway.start(t);
  const { code } = await gateway.json('codes', 'create', '--read', '/lights/**');
  const pairing = await Handfast.pair(gateway.url, {
    name: 'Desk',
    code,
    storage: new MemoryStorage(),
  });
  const client = await pairing.waitForApproval();
  t.after(() => client.close());
  const refused = next(client, 'notAllowed');
  await client.send('/doors/1', 'open');
  assert.deepEqual(await refused, { action: 'write', pattern: '/doors/1' });
  const unheard = next(client, 'notAllowed');
  await client.subscribe('/**', () => {});
  assert.deepEqual(await unheard, { action: 'read', pattern: '/**' });
  await assert.rejects(client.send('doors', 'x'), { code: 'address' });
  await assert.rejects(client.send('/doors', 'x', { action: 'fly' }), { code: 'action' });
  await assert.rejects(client.send('/doors', 'x'.repeat(865)), { code: 'too_long' });
  await assert.rejects(
    client.subscribe('lights/*', () => {}),
    { code: 'pattern' },
  );
});

test('a link that is lost comes back by itself, with its subscriptions', async (t) => {
  const gateway = await Gateway.start(t);
  const client = await paired(t, gateway);
  const heard = new Promise((resolve) =>
    client.subscribe('/lights/*', ({ text }) => resolve(text)),
  );
  const lost = next(client, 'lost');
  await gateway.kill();
  await lost;
  assert.equal(client.linked, false);
  await assert.rejects(client.send('/lights/1', 'on'), { code: 'not_linked' });
  const linked = client.whenLinked();
  await gateway.restart();
  await linked;
  await sent(gateway, '/lights/1', 'on');
  assert.equal(await heard, 'on');
});

test('a token is renewed, and a bearer token is handed out', async (t) => {
  const gateway = await Gateway.start(t);
  const client = await paired(t, gateway);
  await client.renew();
  assert.ok(client.describe().permissions.read.includes('/**'));
  const bearer = await client.bearer();
  assert.match(bearer, /^[\w-]{43}$/);
});

test('muting and narrowing are told, and the new permissions come by themselves', async (t) => {
  const gateway = await Gateway.start(t);
  const client = await paired(t, gateway);
  const renewed = next(client, 'renewed');
  await gateway.verb('nodes', 'permissions', 'Desk', '--read', '/only/**');
  await renewed;
  assert.deepEqual(client.describe().permissions, { read: ['/only/**'], write: [], admin: [] });
  const muted = next(client, 'muted');
  await gateway.verb('nodes', 'mute', 'Desk');
  await muted;
});

test('a node that is revoked erases its keys, and pairs anew with others', async (t) => {
  const gateway = await Gateway.start(t);
  const storage = new MemoryStorage();
  const client = await paired(t, gateway, storage);
  const { fingerprint } = client.describe();
  const unpaired = next(client, 'unpaired');
  await gateway.verb('nodes', 'revoke', 'Desk', '--yes');
  await unpaired;
  await client.close();
  await assert.rejects(Handfast.connect(gateway.url, { storage }), { code: 'not_paired' });
  const again = await paired(t, gateway, storage, 'Desk again');
  assert.notEqual(again.describe().fingerprint, fingerprint);
});

test('a node that is revoked while it is away erases its keys when it hears of it', async (t) => {
  const gateway = await Gateway.start(t);
  const storage = new MemoryStorage();
  await (await paired(t, gateway, storage)).close();
  await gateway.verb('nodes', 'revoke', 'Desk', '--yes');
  await assert.rejects(Handfast.connect(gateway.url, { storage }), { code: 'pair_again' });
  // Only the gateway's sealed word that the key is revoked lets the node drop it.
  const refused = Handfast.pair(gateway.url, { name: 'Desk', storage });
  await assert.rejects(refused, { code: 'revoked' });
  await (await paired(t, gateway, storage, 'Desk again')).close();
});

test('a node that forgets has nothing stored', async (t) => {
  const gateway = await Gateway.start(t);
  const storage = new MemoryStorage();
  const client = await paired(t, gateway, storage);
  await client.forget();
  assert.deepEqual(await storage.keys(), []);
  await assert.rejects(client.send('/a', 'x'), { code: 'closed' });
});

test('nothing that was not stored is confirmed', async (t) => {
  const gateway = await Gateway.start(t);
  const storage = new MemoryStorage();
  const pairing = await Handfast.pair(gateway.url, { name: 'Desk', storage });
  storage.save = async () => {
    throw new Error('the disk is full');
  };
  const pin = await gateway.pin('Desk');
  await assert.rejects(
    pairing.submitPin(pin).then(() => pairing.waitForApproval()),
    { code: 'cannot_store' },
  );
});
