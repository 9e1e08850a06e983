// Compiled, never run: what a program in TypeScript writes.

import {
  Client,
  Companion,
  FileStorage,
  Handfast,
  HandfastBuilder,
  HandfastError,
  type Message,
} from 'handfast-web';

export async function main(): Promise<void> {
  const storage = new FileStorage('/tmp/handfast');
  const pairing = await Handfast.pair('ws://gateway.local:8765', { name: 'Lamp', storage });
  pairing.on('wrongCode', ({ attemptsLeft }) => console.log(attemptsLeft.toFixed()));
  await pairing.submitPin('847291');
  const client = await pairing.waitForApproval();
  const off = await client.subscribe('/lights/*', ({ address, text }: Message) =>
    console.log(address, text),
  );
  await client.send('/lights/1', new Uint8Array([1]), { action: 'write' });
  off();
  const again = await new HandfastBuilder('ws://gateway.local:8765').withStorage(storage);
  const expires: Date | undefined = again.describe().expires;
  const companion = await Companion.pair('…', { plainHosts: ['vpn.example'] });
  const link = await companion.link();
  link.on('closed', (error: HandfastError) => console.log(error.code, expires));
  // @ts-expect-error: an event of this name does not exist
  client.on('none', () => {});
  // @ts-expect-error: a pairing comes from Handfast.pair alone
  new Client();
}
