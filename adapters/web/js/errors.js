// The error of this package, and the sentences of what went wrong: what happened, then what mends
// it.

const TURNED_DOWN = 'The request was turned down. Talk to the operator before asking again.';

/** Sentences by code. Codes of core, of the module's boundary, and of this face. */
const SENTENCES = {
  // What this machine or page lacks.
  no_websocket:
    'There is no WebSocket here. Node.js 20 has none of its own: npm install ws, or pass ' +
    'options.WebSocket.',
  no_storage:
    'There is no IndexedDB here, so a pairing cannot be stored. Pass options.storage, for instance ' +
    'new MemoryStorage(), which forgets everything with the page.',
  module: 'The WebAssembly module cannot be loaded.',
  in_use:
    'Another page or worker of this browser uses this pairing. Close it there first, or pair this ' +
    'one under another name with options.key.',
  cannot_store:
    'The pairing cannot be stored here, so nothing that depends on it was done. Make room or allow ' +
    'storage, then connect again.',
  stored_version:
    'The stored pairing is of another version of Handfast. Use that version, or pair again.',
  stored_damaged:
    'The stored pairing is damaged. Remove it with Handfast.erase(), then pair again.',
  file_mode: 'Others on this machine can read the stored keys. Forbid it: chmod 600.',
  closed: 'This was closed.',
  aborted: 'The caller gave up waiting.',

  // Addresses and texts.
  url: 'This is not the address of a gateway. Write it like ws://gateway.local:8765.',
  not_encrypted:
    'A session must not go to a host outside of this network without TLS. Use a wss:// address, ' +
    'or name the host in options.plainHosts.',
  mixed_content:
    'A page that came over https may not open a ws:// connection. Use a wss:// address.',
  invite: 'This text is not an invitation of a gateway.',
  setup_code: 'This text is not a setup code.',
  setup_unbound:
    'This setup code is for a companion, not for a device: use Companion.pair(). A code for a ' +
    'device is made with: handfast companions invite --bound.',
  no_address: 'The invitation names no ws:// or wss:// address, and a browser opens no other.',
  fingerprint: 'A fingerprint is six groups of four letters and digits.',
  typed_code: 'This is not a code. It has four characters, then six or more.',
  code: 'This is not a PIN.',
  name: 'A name has at most 64 characters, and no control characters.',
  profile: 'The profile is a JSON object of at most 256 bytes.',
  permissions: 'Permissions read like read:/lights/**, and write:/lights/1.',
  action: 'An action is read, write or admin.',
  address: 'An address reads like /lights/1.',
  pattern: 'A pattern reads like /lights/**.',
  noise: 'The noise level is a number.',
  too_long: 'A message has at most 864 bytes. Send it in pieces.',
  too_many: 'There are 16 subscriptions already. Subscribe to a wider pattern instead of several.',

  // The gateway cannot be reached, or is another one.
  unreachable: 'The gateway cannot be reached. Check the address, and that the gateway runs.',
  lost: 'The connection to the gateway was lost.',
  other_gateway:
    'Another gateway than the expected one answers. It was told nothing. Check the address and the ' +
    'fingerprint.',
  turned_away: 'The gateway takes no connections at the moment. Try again later.',
  other_version: 'The gateway does not speak this version of Handfast.',
  broken:
    'The gateway sent what no gateway sends. Check the address, and that both are of one version.',
  gateway_unproven:
    'This gateway does not know the code: the code is wrong, or this is a foreign gateway. Nothing ' +
    'that it sent was used.',

  // Pairing is refused.
  no_pin: 'No PIN is awaited. Start with Handfast.pair(url, { method: "pin" }), and wait for it.',
  wrong_code: 'The PIN or code was wrong.',
  expired: 'The PIN, the code or the request ran out or was withdrawn. Pair again.',
  locked:
    'There were too many wrong attempts. Have a new code made; the operator opens pairing again ' +
    'with: handfast pairing open.',
  pairing_closed: 'Pairing is closed at the gateway. The operator opens it: handfast pairing open.',
  denied: TURNED_DOWN,
  revoked:
    'The key of this device was revoked at the gateway, which is final. The key was erased here: ' +
    'pair again, with a new one.',
  busy: 'The gateway has too much to do.',
  spent:
    'This setup code was used already, and not by this device. Have a new one made, and find out who ' +
    'used it.',
  gateway_cannot_store: 'The gateway cannot store anything at the moment. Tell its operator.',
  protocol: 'The gateway found a message out of place. Check that both are of one version.',
  unsigned: 'The gateway wants a certificate request to be signed.',
  interrupted: 'The connection ended while the PIN or code was checked. Pair again.',

  // The link.
  not_paired: 'This is not paired with that gateway. Pair it: Handfast.pair(url, { name }).',
  not_linked: 'The link is not open now. Try again once it is.',
  congested:
    'More is waiting to be sent than the connection takes. Try again when it has been sent.',
  pair_again: 'The gateway does not know this device any more. Pair it again.',
  unpaired: 'The operator revoked this device. Pair it again, with new keys.',
  forgotten: 'The pairing was erased.',
  not_renewed: 'The gateway did not renew the token. Pair again before it expires.',

  // Companions.
  'unknown code': 'The gateway does not know this setup code. Have a new one made.',
  'invalid signature':
    'No key of this gateway signed this setup code. Check that it is for this gateway.',
  'already used':
    'This setup code was used already. Have a new one made, and find out who used it.',
  'rate limited': 'Too many attempts came from this address. Wait a minute.',
  'expected text frame': 'The gateway did not understand what it was sent.',
  internal: 'The gateway failed. Its log says why.',
  'unknown session': 'The session does not exist or was revoked. Have a new setup code made.',
  'origin not allowed':
    'The gateway takes no companions from pages of this origin. Its operator names the origin in its ' +
    'configuration: origins = ["https://console.example"] under [setup].',
  'clock in doubt': 'The gateway does not trust its clock at the moment. Try again later.',
  not_understood: 'What answers there is no gateway for companions. Check the address.',
  no_answer: 'The gateway did not answer in time.',
  no_session: 'There is no session with that gateway. Show a setup code: Companion.pair(text).',
};

/** What went wrong, with a code for programs and a sentence for people. */
export class HandfastError extends Error {
  /**
   * @param {string} code
   * @param {{ detail?: string, cause?: unknown, [fact: string]: unknown }} [facts]
   */
  constructor(code, { detail, cause, ...facts } = {}) {
    const sentence = SENTENCES[code] ?? `It failed: ${code}.`;
    super(detail ? `${sentence} (${detail})` : sentence, cause === undefined ? {} : { cause });
    this.name = 'HandfastError';
    this.code = code;
    Object.assign(this, facts);
  }
}

/** Makes the error of a refused call: its code, and core's reason where it has one. */
export function refusal({ code, reason }) {
  return new HandfastError(code, { detail: reason });
}

/** Codes of this face for reasons of core that mean something else elsewhere. */
const RENAMED = { closed: 'pairing_closed', cannot_store: 'gateway_cannot_store' };

/** Returns `true` for refusals after which core tries again by itself. */
export const isPassing = ({ reason }) => reason === 'busy' || reason === 'cannot_store';

/** Makes the error of a refused pairing. */
export function pairingRefusal({ reason, message, attemptsLeft, retryIn }) {
  const code = RENAMED[reason] ?? reason;
  const facts = {};
  if (attemptsLeft !== undefined) facts.attemptsLeft = attemptsLeft;
  if (retryIn !== undefined) facts.retryIn = retryIn;
  return new HandfastError(code, { detail: message, ...facts });
}
