// What a failure is called, and the field that mends it. The node's own sentence stands below the
// title: it says how certain it is, and what helps.

const FAILURES = {
  wrong_password: ['The Wi-Fi password was not accepted', 'password'],
  network_not_found: ['The Wi-Fi network was not found', 'network'],
  too_weak: ['The Wi-Fi signal is too weak', 'network'],
  no_address: ['The Wi-Fi network gave the node no address', 'network'],
  captive_network: ['The Wi-Fi network asks for a login page', 'network'],
  gateway_unreachable: ['The gateway did not answer', 'gateway'],
  gateway_refused: ['The gateway refused the node', 'token'],
  gateway_key_mismatch: ['The gateway has another key than expected', 'gateway'],
  radio_busy: ['The node’s radio could not be used', ''],
  country_missing: ['The node’s radio is blocked until its country is set', 'country'],
  cannot_store: ['The node could not store the settings', ''],
  setup_window_closed: ['The node takes no settings at the moment', ''],
};

/** Sentences of the node that need another one beside them. */
const MORE = {
  gateway_refused: 'A token is for the name that stands under “More”, once, and for ten minutes.',
  country_missing:
    'Write the country below and press the button. On a Raspberry Pi it can also be set there: ' +
    'sudo raspi-config nonint do_wifi_country DE',
};

/** What stands in their place where the node was invited: its sentences are of command centers. */
const INVITED = {
  gateway_unreachable: [
    'The gateway did not answer',
    'It has to run, at an address that the invitation names. --address writes another one into it.',
  ],
  gateway_refused: [
    'The gateway refused the node',
    'An invitation is for one node, and for five minutes, unless its maker said otherwise: ' +
      'have a new one made.',
  ],
  gateway_key_mismatch: [
    'The gateway has another key than expected',
    'Have a new invitation made by the gateway that is meant.',
  ],
};

/** Returns the title of a failure, what helps, and the name of the field that mends it. */
export function failure(code, words, invited) {
  if (invited && INVITED[code]) {
    const [title, mend] = INVITED[code];
    return { title, words: mend, field: 'invitation' };
  }
  const [title, field] = FAILURES[code] || ['The node could not be set up', ''];
  const sentences = [words, MORE[code]].filter(Boolean).map((text) => text.replace(/[.]?$/, '.'));
  return { title, words: sentences.join(' '), field };
}

/** Why a proof is not taken, and the seconds until the next try. */
export function unproven({ wrong, later, full, spelling, lost }) {
  if (wrong !== undefined) return { words: 'This is not the proof of this node.', seconds: wrong };
  if (later !== undefined) {
    return { words: 'The node waits before it compares a proof again.', seconds: later };
  }
  if (full !== undefined) {
    return { words: 'Other phones are setting this node up.', seconds: full };
  }
  if (spelling) return { words: 'A proof looks like ABCD-EFGH-JKLM.', seconds: 0 };
  if (lost) {
    const words = 'What answered is not a node with this proof. Join its network by the QR code.';
    return { words, seconds: 0 };
  }
  return { words: 'The node does not answer. Join its network with this phone.', seconds: 0 };
}

/** What the node does, by its state and how far it is. */
export function doing(status, network) {
  if (status.state === 'REGISTERING') {
    return status.progress_percent < 90 ? 'Asking the gateway…' : 'Storing the settings…';
  }
  if (status.progress_percent < 35) return 'The node has got the settings…';
  return status.progress_percent < 50 ? `Joining ${network}…` : `${network} is joined…`;
}

/** What is said while the node does not answer, after this many seconds. */
export function away(seconds, node, gateway) {
  if (seconds < 45) {
    return 'The node does not answer: its own network is off while it joins yours. This takes up to 40 seconds.';
  }
  return (
    `The node still does not answer. If it has joined your network, it is set up: look for it at ${gateway}.` +
    ` If not, its network ${node} is back by now: join it again with this phone, and this page goes on.`
  );
}

const PROBLEMS = {
  missing: 'This is needed.',
  string_too_short: 'This is needed.',
  string_too_long: 'This is too long.',
};

/** What is wrong with a field, as the node says it. */
export const problem = ({ type, msg }) =>
  PROBLEMS[type] || `${msg.replace(/^Value error, /, '')}.`;

/** How strong a signal is, in words. */
export function strength(dbm) {
  if (dbm >= -60) return 'strong';
  return dbm >= -75 ? 'medium' : 'weak';
}
