// What is published: its size, its types and its files.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'node:test';
import { brotliCompressSync, constants } from 'node:zlib';

const root = fileURLToPath(new URL('..', import.meta.url));
const run = (command, ...args) => promisify(execFile)(command, args, { cwd: root });

test('the module has at most 60 KB compressed, and no imports', async () => {
  const bytes = await readFile(new URL('../dist/handfast.wasm', import.meta.url));
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
  };
  const compressed = brotliCompressSync(bytes, { params }).length;
  console.log(`${bytes.length} bytes, ${compressed} compressed`);
  assert.ok(compressed <= 60 * 1024, `${compressed} bytes`);
  assert.deepEqual(WebAssembly.Module.imports(await WebAssembly.compile(bytes)), []);
});

test('the types hold for a program in TypeScript', async () => {
  await run('npx', '--no-install', 'tsc', '-p', '.');
});

test('the archive holds the face, its types, the module and the licences, and nothing else', async () => {
  const { stdout } = await run('npm', 'pack', '--dry-run', '--json', '--ignore-scripts');
  const [{ files }] = JSON.parse(stdout);
  const names = files.map(({ path }) => path);
  const face = [
    'address',
    'client',
    'companion',
    'driver',
    'emitter',
    'errors',
    'file-storage',
    'handfast',
    'index',
    'module',
    'node',
    'pairing',
    'platform',
    'record',
    'socket',
    'storage',
  ];
  assert.deepEqual(
    names.toSorted(),
    [
      'README.md',
      'package.json',
      'js/index.d.ts',
      'js/node.d.ts',
      'dist/LICENSE-APACHE',
      'dist/LICENSE-MIT',
      'dist/handfast.wasm',
      ...face.map((name) => `js/${name}.js`),
    ].toSorted(),
  );
});
