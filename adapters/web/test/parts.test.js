// The parts that need no gateway.

import assert from 'node:assert/strict';
import { chmod, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { GatewayAddress } from '../js/address.js';
import { Client, FileStorage, Handfast, MemoryStorage } from '../js/node.js';
import { Call, Instance } from '../js/module.js';
import { NodeRecord, read } from '../js/record.js';
import { privateFolder } from './support/gateway.js';

test('an address gets the default port unless it names one', () => {
  for (const [given, href, key] of [
    ['ws://pi.local', 'ws://pi.local:8765/', 'pi.local:8765'],
    ['wss://pi.local:443/x?y=1', 'wss://pi.local:443/x?y=1', 'pi.local:443'],
    ['https://pi.local:443', 'wss://pi.local:443/', 'pi.local:443'],
    ['ws://pi.local:80', 'ws://pi.local:80/', 'pi.local:80'],
    ['HTTP://[::1]', 'ws://[::1]:8765/', '[::1]:8765'],
  ]) {
    const address = new GatewayAddress(given);
    assert.deepEqual([address.href, address.key], [href, key], given);
  }
});

test('what leads to no gateway is refused', () => {
  for (const bad of [
    '',
    'pi.local',
    'pi.local:8765',
    'ftp://pi',
    'ws://',
    'ws://pi:99999',
    'ws://a b',
    'ws://me:secret@pi',
    'ws://pi/#top',
    'ws://pi/#',
  ]) {
    assert.throws(() => new GatewayAddress(bad), { code: 'url' }, bad);
  }
});

test('routes and the socket of companions are found where the gateway is', () => {
  for (const [given, socket, route] of [
    ['ws://127.0.0.1:8765', 'ws://127.0.0.1:8765/pair', 'http://127.0.0.1:8765/api/v1/session'],
    [
      'http://[::1]:81/x/pair?t=1',
      'ws://[::1]:81/x/pair?t=1',
      'http://[::1]:81/x/api/v1/session?t=1',
    ],
    ['wss://pi.local/a/', 'wss://pi.local:8765/a/pair', 'https://pi.local:8765/a/api/v1/session'],
  ]) {
    const address = new GatewayAddress(given);
    assert.deepEqual([address.companions, address.route('/api/v1/session')], [socket, route]);
  }
});

test('a file is private, and is replaced as a whole', async (t) => {
  const folder = join(await privateFolder(t), 'deep', 'er');
  const storage = new FileStorage(folder);
  assert.deepEqual([await storage.load('a'), await storage.keys()], [undefined, []]);
  await storage.remove('a');
  const key = '[::1]:8765/../x';
  await storage.save(key, new Uint8Array([1]));
  await storage.save(key, new Uint8Array([2, 3]));
  assert.deepEqual(await storage.load(key), new Uint8Array([2, 3]));
  assert.deepEqual(await storage.keys(), [key]);
  const [name] = await readdir(folder);
  assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600);
  assert.equal((await stat(folder)).mode & 0o777, 0o700);
  await chmod(join(folder, name), 0o644);
  await assert.rejects(storage.load(key), { code: 'file_mode' });
  // The rest of a write that was cut off is never read, and in nobody's way.
  await writeFile(join(folder, `${name}.tmp`), 'x');
  await storage.save(key, new Uint8Array([4]));
  await storage.remove(key);
  assert.deepEqual(await storage.keys(), []);
});

test('a record reads back as it was written, and another version is left alone', async () => {
  const storage = new MemoryStorage();
  const record = await NodeRecord.open(storage, 'a');
  Object.assign(record.facts, { name: 'Küche' });
  await record.save(new Uint8Array([9, 8]));
  const again = await NodeRecord.open(storage, 'a');
  assert.deepEqual([again.facts, again.bytes], [{ name: 'Küche' }, new Uint8Array([9, 8])]);
  assert.throws(() => read(new Uint8Array([2, 0, 0])), { code: 'stored_version' });
  assert.throws(() => read(new Uint8Array([1, 200, 0, 1])), { code: 'stored_damaged' });
});

test('what is stored by another version, or damaged, is refused with the reason and left as it is', async () => {
  const storage = new MemoryStorage();
  const facts = [...new TextEncoder().encode('{"addresses":["ws://127.0.0.1:1/"],"name":"x"}')];
  for (const [bytes, code] of [
    [[2], 'stored_version'],
    [[1, 2, 3], 'stored_damaged'],
  ]) {
    const stored = new Uint8Array([1, facts.length, 0, ...facts, ...bytes]);
    await storage.save('127.0.0.1:1', stored);
    await assert.rejects(Handfast.connect('ws://127.0.0.1:1', { storage }), { code });
    assert.deepEqual(await storage.load('127.0.0.1:1'), stored);
  }
});

test('a place in a storage is locked while a node uses it', async () => {
  const storage = new MemoryStorage();
  const held = new Set();
  storage.lock = async (key) => {
    assert.ok(!held.has(key));
    held.add(key);
    return () => held.delete(key);
  };
  const facts = { addresses: ['ws://127.0.0.1:1/'], name: 'x' };
  const client = await Client.start('a', { storage }, facts);
  assert.deepEqual([...held], ['a']);
  await client.close();
  await assert.rejects(Client.start('a', { storage }, { ...facts, name: 'x'.repeat(1000) }), {
    code: 'name',
  });
  assert.deepEqual([...held], []);
});

test('a call that does not fit is refused, and one that is none is an error', async () => {
  const instance = await Instance.make();
  assert.throws(() => instance.ask(Call.MATCHES, 'x'.repeat(9000), '/'), { code: 'too_long' });
  assert.throws(() => instance.call(255), { code: 'module' });
  assert.deepEqual(instance.ask(Call.MATCHES, '/a/*', '/a/b'), { event: 'matches' });
});
