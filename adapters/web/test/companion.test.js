// The companion's role with the real gateway.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Companion, MemoryStorage } from '../js/node.js';
import { Gateway, next } from './support/gateway.js';

async function invited(gateway) {
  const { payload } = await gateway.json(
    'companions',
    'invite',
    '--public-url',
    gateway.url,
    '--for-device',
    'Phone',
  );
  return payload;
}

test('a setup code becomes a session, once', async (t) => {
  const gateway = await Gateway.start(t);
  const storage = new MemoryStorage();
  const code = await invited(gateway);
  const companion = await Companion.pair(code, { storage });
  assert.equal(companion.token.length, 43);
  assert.equal((await companion.describe()).device_label, 'Phone');
  await companion.refresh();
  await assert.rejects(Companion.pair(code, { storage }), { code: 'already used' });

  const loaded = await Companion.load(gateway.url, { storage });
  assert.equal(loaded.token, companion.token);
  await loaded.end();
  await assert.rejects(Companion.load(gateway.url, { storage }), { code: 'no_session' });
  await assert.rejects(companion.describe(), { code: 'unknown session' });
});

test("a companion's link comes back by itself, and ends with its session", async (t) => {
  const gateway = await Gateway.start(t);
  const companion = await Companion.pair(await invited(gateway), { storage: new MemoryStorage() });
  const link = await companion.link();
  t.after(() => link.close());
  assert.equal(link.session.deviceLabel, 'Phone');
  link.send('{"type":"hello"}');
  const lost = next(link, 'lost');
  await gateway.kill();
  await lost;
  assert.throws(() => link.send('x'), { code: 'not_linked' });
  const linked = next(link, 'linked');
  await gateway.restart();
  await linked;
  const { items: sessions } = await gateway.json('companions', 'list');
  assert.equal(sessions[0].linked, true);
  const closed = next(link, 'closed');
  await gateway.verb('companions', 'revoke', '--all', '--yes');
  assert.equal((await closed).code, 'unknown session');
});

test('texts that are no setup codes, and gateways that are far without TLS, are refused', async () => {
  const storage = new MemoryStorage();
  await assert.rejects(Companion.pair('hello', { storage }), { code: 'setup_code' });
  const code = (url) =>
    Buffer.from(
      JSON.stringify({ url, bootstrap_token: 'e30.AAAA', expires_at: '2099-01-01T00:00:00Z' }),
    ).toString('base64url');
  for (const url of ['ws://gateway.example/pair', 'ws://evil.example?x.local']) {
    await assert.rejects(Companion.pair(code(url), { storage }), { code: 'not_encrypted' });
  }
  await assert.rejects(Companion.pair(code('ws://127.0.0.1:1/pair'), { storage }), {
    code: 'unreachable',
  });
});
