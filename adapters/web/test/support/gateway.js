// The real gateway, as a process: `handfast serve` of the folder HANDFAST_BIN.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

/** Limit for every step, in milliseconds; only a defect takes this long. */
export const PATIENCE = 30_000;

const bin = process.env.HANDFAST_BIN;
if (bin === undefined) throw new Error('HANDFAST_BIN names the folder of the programs');

const environment = () => {
  const { HANDFAST_DATA, STATE_DIRECTORY, XDG_DATA_HOME, ...rest } = process.env;
  return { ...rest, RUST_LOG: process.env.HANDFAST_LOG ?? 'error' };
};

/** Makes a directory that its owner alone can use. */
export async function privateFolder(test) {
  const folder = await mkdtemp(join(tmpdir(), 'handfast-web-'));
  await chmod(folder, 0o700);
  test.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** The lines of a program, which can be waited for. */
class Lines {
  #lines = [];
  #waiting = new Set();

  constructor(...streams) {
    for (const input of streams) {
      createInterface({ input }).on('line', (line) => {
        this.#lines.push(line);
        for (const look of [...this.#waiting]) look();
      });
    }
  }

  /** Resolves to the first match in a line from the `from`-th on; `at` is the number of its line. */
  async find(pattern, from = 0) {
    let look;
    let timer;
    const found = new Promise((resolve, reject) => {
      look = () => {
        const at = this.#lines.findIndex((line, number) => number >= from && pattern.test(line));
        if (at >= 0) resolve(Object.assign(pattern.exec(this.#lines[at]), { at }));
      };
      timer = setTimeout(
        () => reject(new Error(`${pattern} did not come:\n${this.#lines.join('\n')}`)),
        PATIENCE,
      );
    });
    this.#waiting.add(look);
    look();
    try {
      return await found;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
  }
}

export class Gateway {
  #child;
  #lines;
  #more;
  data;
  address;

  /** Starts a gateway that ends with the test. */
  static async start(test, { more = ['--pairing'], config = '' } = {}) {
    const gateway = new Gateway();
    // It ends before its data is removed.
    test.after(() => gateway.kill());
    gateway.data = await privateFolder(test);
    gateway.#more = more;
    if (config !== '') {
      const file = join(await privateFolder(test), 'handfast.toml');
      await writeFile(file, config, { mode: 0o600 });
      gateway.#more = [...more, '--config', file];
    }
    await gateway.#run('127.0.0.1:0');
    return gateway;
  }

  async #run(listen) {
    const args = ['serve', '--listen', listen, '--data', this.data, ...this.#more];
    this.#child = spawn(join(bin, 'handfast'), args, {
      env: environment(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#lines = new Lines(this.#child.stdout);
    const [, address] = await this.#lines.find(/:\/\/([^ ]+:\d+)/);
    this.address = address;
  }

  get url() {
    return `ws://${this.address}`;
  }

  /** Kills the process, as a crash would. */
  async kill() {
    if (
      this.#child === undefined ||
      this.#child.exitCode !== null ||
      this.#child.signalCode !== null
    )
      return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }

  /** Starts it again with the same data, at the same address. */
  async restart() {
    await this.kill();
    await this.#run(this.address);
  }

  /** Resolves to the PIN of the node with this name. */
  async pin(name) {
    const { at } = await this.#lines.find(new RegExp(`Pairing request from "${name}"`));
    const [, pin] = await this.#lines.find(/PIN:\s+(\d+)/, at);
    return pin;
  }

  /** Waits for a line of its output. */
  shows(pattern) {
    return this.#lines.find(pattern);
  }

  /** Runs an operator's verb, and returns its standard output. */
  async verb(...args) {
    const run = promisify(execFile);
    const { stdout } = await run(join(bin, 'handfast'), [...args, '--data', this.data], {
      env: environment(),
    });
    return stdout;
  }

  /** Runs an operator's verb, and returns its JSON. */
  async json(...args) {
    return JSON.parse(await this.verb(...args, '--json'));
  }

  /** Watches messages and events, as JSON. */
  async watch(test) {
    const args = ['watch', '--messages', '--json', '--data', this.data];
    const child = spawn(join(bin, 'handfast'), args, {
      env: environment(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    test.after(() => child.kill('SIGKILL'));
    const lines = new Lines(child.stdout);
    // It listens to events, and to messages.
    const { at } = await lines.find(/"listening"/);
    await lines.find(/"listening"/, at + 1);
    return lines;
  }
}

/** A node that waits for a phone: `handfast-node provision`, with a radio that is played. */
export class SetUpNode {
  #child;
  #state;
  url;

  /** Starts one in the plain mode. */
  static start(test, more = []) {
    return SetUpNode.startSealed(test, ['--plain', ...more]);
  }

  /** Starts one in the secure mode. */
  static async startSealed(test, more = []) {
    const node = new SetUpNode();
    test.after(() => node.#child?.kill('SIGKILL'));
    node.#state = await privateFolder(test);
    await node.#run('0', more);
    return node;
  }

  /** Puts another node in its place, at the same address. */
  async replace(test) {
    this.#state = await privateFolder(test);
    await this.restart();
  }

  async #run(port, more) {
    const args = ['provision', '--simulate', '--listen', '127.0.0.1', '--port', port];
    args.push('--captive-port', '0', '--state', this.#state, '--simulated-wrong-password', 'wrong password', ...more);
    this.#child = spawn(join(bin, 'handfast-node'), args, {
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const lines = new Lines(this.#child.stdout, this.#child.stderr);
    [, this.url] = await lines.find(/(http:\/\/[^ ]+:\d+)/);
  }

  /** Kills it, and starts it again at the same address: it forgets every exchange. */
  async restart(more = []) {
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
    await this.#run(new URL(this.url).port, more);
  }

  /** What stands on its label. */
  async label() {
    const args = ['label', '--json', '--state', this.#state];
    const run = promisify(execFile);
    const { stdout } = await run(join(bin, 'handfast-node'), args, { env: environment() });
    return JSON.parse(stdout);
  }

  /** Stops it, as if its access point were off. */
  pause() {
    this.#child.kill('SIGSTOP');
  }

  resume() {
    this.#child.kill('SIGCONT');
  }

  async info() {
    return (await fetch(`${this.url}/api/v1/info`)).json();
  }
}

/** A node that asks to be paired: `handfast-node pair`. */
export class NativeNode {
  #child;
  #lines;
  #exit;

  /** Starts one; `way` is --pin, --code or --approval. */
  static async start(test, gateway, name, way) {
    const node = new NativeNode();
    test.after(() => node.#child?.kill('SIGKILL'));
    const args = ['pair', '--gateway', gateway.url, '--name', name, ...way];
    args.push('--state', await privateFolder(test));
    node.#child = spawn(join(bin, 'handfast-node'), args, {
      env: environment(),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    node.#exit = once(node.#child, 'exit');
    node.#lines = new Lines(node.#child.stdout, node.#child.stderr);
    return node;
  }

  /** Types a line at it. */
  types(line) {
    this.#child.stdin.write(`${line}\n`);
  }

  /** Resolves to the fingerprint that it shows of itself. */
  async fingerprint() {
    const [text] = await this.#lines.find(/([A-Z2-7]{4}-){5}[A-Z2-7]{4}/);
    return text;
  }

  /** Resolves to its exit code. */
  async ends() {
    const [code] = await this.#exit;
    return code;
  }
}

/** Resolves to the next event of this name. */
export function next(emitter, name) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${name} came`)), PATIENCE);
    const off = emitter.on(name, (event) => {
      clearTimeout(timer);
      off();
      resolve(event);
    });
  });
}
