// Pairing with the real gateway, by every method.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileStorage, Handfast, HandfastBuilder, MemoryStorage } from '../js/node.js';
import { Gateway, next, privateFolder } from './support/gateway.js';

/** Options for a node that ends with the test. */
const kept = (more = {}) => ({ storage: new MemoryStorage(), ...more });

test('a node that submits the PIN of the gateway is paired and linked', async (t) => {
  const gateway = await Gateway.start(t);
  const pairing = await Handfast.pair(gateway.url, kept({ name: 'My Phone', room: 'Kitchen' }));
  assert.equal(pairing.pin.attempts, 5);
  assert.equal(pairing.gateway.trust, 'code');
  const pin = await gateway.pin('My Phone');
  const wrong = pin === '000000' ? '000001' : '000000';
  await assert.rejects(pairing.submitPin(wrong), { code: 'wrong_code', attemptsLeft: 4 });
  await pairing.submitPin(pin);
  const client = await pairing.waitForApproval();
  t.after(() => client.close());
  const own = client.describe();
  assert.equal(client.linked, true);
  assert.deepEqual(own.permissions, { read: ['/**'], write: ['/**'], admin: [] });
  assert.ok(own.expires > new Date() && own.pairedAt <= new Date());
  const { items: paired } = await gateway.json('paired', 'list');
  const { device } = paired[0];
  assert.deepEqual(
    [device.friendly_name, device.room, device.fingerprint, device.node_id],
    ['My Phone', 'Kitchen', own.fingerprint, own.nodeId],
  );
});

test('five wrong PINs end the pairing', async (t) => {
  const gateway = await Gateway.start(t);
  const pairing = await Handfast.pair(gateway.url, kept({ name: 'Guess' }));
  const wrong = (await gateway.pin('Guess')) === '000000' ? '000001' : '000000';
  for (const attemptsLeft of [4, 3, 2, 1]) {
    await assert.rejects(pairing.submitPin(wrong), { code: 'wrong_code', attemptsLeft });
  }
  await assert.rejects(pairing.submitPin(wrong));
  await assert.rejects(pairing.waitForApproval());
});

test('a node that asks its operator is paired once they approve its fingerprint', async (t) => {
  const gateway = await Gateway.start(t, { more: [] });
  const permissions = { read: ['/sensors/**'], write: ['/control/**'] };
  const pairing = await Handfast.pair(
    gateway.url,
    kept({ name: 'Lathe', method: 'approval', permissions }),
  );
  assert.equal(pairing.gateway.trust, 'first_use');
  assert.match(await gateway.verb('pending'), new RegExp(pairing.fingerprint));
  await gateway.verb('approve', 'Lathe', '--yes');
  const client = await pairing.waitForApproval();
  t.after(() => client.close());
  assert.deepEqual(client.describe().permissions, { ...permissions, admin: [] });
});

test('the example of the documentation needs no method: waiting for approval asks the operator', async (t) => {
  const gateway = await Gateway.start(t);
  const pairing = await Handfast.pair(gateway.url, kept({ name: 'My Phone' }));
  const waiting = pairing.waitForApproval();
  await next(pairing, 'waiting');
  await gateway.verb('approve', 'My Phone', '--yes');
  (await waiting).close();
});

test('a request that is turned down says so, with the words that the operator gave', async (t) => {
  const rule = 'decision = "reject", reason = "not here"';
  const gateway = await Gateway.start(t, { more: ['--pairing-rule', rule] });
  const pairing = Handfast.pair(gateway.url, kept({ name: 'Lathe', method: 'approval' }));
  await assert.rejects(
    pairing,
    ({ code, message }) => code === 'denied' && /not here/.test(message),
  );
});

test('a key that is barred is erased, so the next request comes with another', async (t) => {
  const gateway = await Gateway.start(t);
  const storage = new MemoryStorage();
  const asks = () => Handfast.pair(gateway.url, { storage, name: 'Lathe', method: 'approval' });
  const pairing = await asks();
  const { fingerprint } = pairing;
  await gateway.verb('reject', 'Lathe', '--for-good', '--yes');
  await assert.rejects(pairing.waitForApproval(), { code: 'revoked' });
  const again = await asks();
  assert.notEqual(again.fingerprint, fingerprint);
  await again.cancel();
});

test('a node pairs by a code that was made in advance, and with the text of a QR code', async (t) => {
  const gateway = await Gateway.start(t, { more: [] });
  const { code } = await gateway.json('codes', 'create', '--read', '/lights/**');
  const pairing = await Handfast.pair(gateway.url, kept({ name: 'Bulb', code }));
  const bulb = await pairing.waitForApproval();
  t.after(() => bulb.close());
  assert.deepEqual(bulb.describe().permissions.read, ['/lights/**']);

  const { invitation: text } = await gateway.json('codes', 'create', '--qr');
  const scanned = await Handfast.pairWithQR(text, kept({ name: 'Scanned' }));
  t.after(() => scanned.close());
  assert.ok(scanned.linked);
  await assert.rejects(Handfast.pairWithQR(text, kept({ name: 'Again' })), { code: 'wrong_code' });
});

test('a code can be submitted instead of the PIN', async (t) => {
  const gateway = await Gateway.start(t);
  const pairing = await Handfast.pair(gateway.url, kept({ name: 'Desk' }));
  await assert.rejects(pairing.submitCode('none'), { code: 'typed_code' });
  const { code } = await gateway.json('codes', 'create', '--method', 'code');
  await pairing.submitCode(code);
  (await pairing.waitForApproval()).close();
});

test('a setup code that is bound to a device pairs a node', async (t) => {
  const gateway = await Gateway.start(t);
  const bound = ['--public-url', gateway.url, '--bound'];
  const { payload } = await gateway.json('companions', 'invite', ...bound);
  const tablet = await Handfast.pairWithQR(payload, kept({ name: 'Tablet' }));
  t.after(() => tablet.close());
  assert.ok(tablet.linked);
});

test('another gateway than the expected one is told nothing', async (t) => {
  const gateway = await Gateway.start(t);
  const options = kept({ name: 'Desk', gateway: 'AAAA-AAAA-AAAA-AAAA-AAAA-AAAA' });
  await assert.rejects(Handfast.pair(gateway.url, options), { code: 'other_gateway' });
  assert.deepEqual((await gateway.json('pending')).devices, []);
});

test('where pairing is closed, or no gateway is, the error says what mends it', async (t) => {
  const gateway = await Gateway.start(t, { more: [] });
  const closed = Handfast.pair(gateway.url, kept({ name: 'Desk' }));
  await assert.rejects(
    closed,
    ({ code, message }) => code === 'pairing_closed' && /handfast pairing open/.test(message),
  );
  await gateway.kill();
  const gone = Handfast.pair(gateway.url, kept({ name: 'Desk' }));
  await assert.rejects(
    gone,
    ({ code, message }) => code === 'unreachable' && /ECONNREFUSED/.test(message),
  );
  await assert.rejects(Handfast.pair('gateway.local', kept()), { code: 'url' });
  await assert.rejects(Handfast.connect(gateway.url, kept()), { code: 'not_paired' });
});

test('a paired node is stored in a private file, and links again by itself', async (t) => {
  const gateway = await Gateway.start(t);
  const storage = new FileStorage(await privateFolder(t));
  const pairing = await Handfast.pair(gateway.url, { name: 'Desk', storage });
  await pairing.submitPin(await gateway.pin('Desk'));
  const first = await pairing.waitForApproval();
  const { fingerprint, nodeId } = first.describe();
  await first.close();

  const again = await new HandfastBuilder(gateway.url).withStorage(storage);
  t.after(() => again.close());
  assert.deepEqual(
    [again.linked, again.describe().fingerprint, again.describe().nodeId],
    [true, fingerprint, nodeId],
  );
  const [known] = await Handfast.stored({ storage });
  assert.deepEqual([known.key, known.name], [gateway.address, 'Desk']);
});

test('pairing that the caller gives up ends', async (t) => {
  const gateway = await Gateway.start(t);
  const pairing = await Handfast.pair(gateway.url, kept({ name: 'Desk' }));
  const waiting = pairing.waitForApproval();
  await pairing.cancel();
  await assert.rejects(waiting, { code: 'aborted' });
  await assert.rejects(pairing.submitPin('123456'), { code: 'aborted' });
});
