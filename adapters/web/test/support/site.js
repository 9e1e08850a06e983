// Pages for the browser, and the browser.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import axe from 'axe-core';
import { chromium } from 'playwright-core';
import { PATIENCE, privateFolder } from './gateway.js';

const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.wasm': 'application/wasm',
};
const root = new URL('../../', import.meta.url);

/** Serves this package's folder, as any web server would. Resolves to the origin. */
export async function site(test) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://site');
    const file = fileURLToPath(
      new URL(`.${pathname}${pathname.endsWith('/') ? 'index.html' : ''}`, root),
    );
    try {
      const bytes = await readFile(file);
      response.writeHead(200, {
        'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
      });
      response.end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A browser with a profile of its own, which can be closed and opened again. */
export class Browser {
  #folder;
  #context;
  #options;
  /** What pages logged as errors. */
  errors = [];

  static async start(test, options = {}) {
    const browser = new Browser();
    test.after(() => browser.close());
    browser.#folder = await privateFolder(test);
    browser.#options = options;
    await browser.open();
    return browser;
  }

  async open() {
    // `jitless`: without WebAssembly, as in a lockdown mode.
    const { jitless = false, ...options } = this.#options;
    this.#context = await chromium.launchPersistentContext(this.#folder, {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      headless: true,
      args: jitless ? [...FLAGS, '--js-flags=--jitless'] : FLAGS,
      ...options,
    });
    this.#context.setDefaultTimeout(PATIENCE);
  }

  async page(url) {
    const page = await this.#context.newPage();
    page.on('pageerror', (error) => this.errors.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && this.errors.push(message.text()));
    await page.goto(url);
    return page;
  }

  async close() {
    await this.#context?.close();
    this.#context = undefined;
  }
}

/** Looks for what keeps people from using a page: WCAG 2.2, levels A and AA. */
export async function accessible(page) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }),
  );
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`);
  assert.deepEqual(found, [], page.url());
}

/** Saves what the page looks like, in the folder HANDFAST_SHOTS if that is named. */
export async function shot(page, name) {
  const folder = process.env.HANDFAST_SHOTS;
  if (folder !== undefined)
    await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
}
