// Talking to the node without protection: the plain API. The page imports it as `send.js`; where the
// secure mode is on, `secure.js`, which has the same exports, is served in its place.

/** `true` if the node wants the proof on its label before anything else. */
export const PROOF = false;

/** `true` if others in radio range can read what is sent. */
export const UNPROTECTED = true;

/** The fields of the page that this way of sending needs. */
export const NEEDS = ['network', 'password', 'room', 'gateway', 'token', 'node-id', 'household'];

/** Time in which the node must answer, in milliseconds. */
const ANSWER = 5000;

const PATHS = {
  info: '/api/v1/info',
  scan: '/api/v1/scan-networks',
  status: '/api/v1/status',
};

/** The page's fields, by the names of the API. */
const WIFI = { wifi_ssid: 'network', wifi_password: 'password', wifi_country: 'country' };
const FIELDS = {
  ...WIFI,
  room: 'room',
  command_center_url: 'gateway',
  household_id: 'household',
  node_id: 'node-id',
  provisioning_token: 'token',
};

/** Gets ready; resolves to `false` if this browser cannot talk to the node. */
export const load = async () => true;

/** Proves what stands on the label, which nobody asks for here. */
export const prove = async () => ({});

/** Asks for `info`, `scan` or `status`; rejects where the node does not answer in time. */
export async function ask(name) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), ANSWER);
  try {
    const answer = await fetch(PATHS[name], { signal: late.signal, cache: 'no-store' });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    return await answer.json();
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Sends the settings, or the Wi-Fi alone. Resolves to `{}` once the node has taken them, to `{ problems }` by field
 * where some are wrong, and to `{ error_code, message }` where it takes none.
 */
export async function send(settings, wifiOnly) {
  const body = {};
  const fields = wifiOnly ? WIFI : FIELDS;
  for (const [name, field] of Object.entries(fields)) {
    // It is asked for only where the radio wants it.
    if (field !== 'country' || settings.country !== '') body[name] = settings[field];
  }
  const answer = await fetch(wifiOnly ? '/api/v1/provision/network' : '/api/v1/provision', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const said = await answer.json();
  if (answer.status === 422) {
    const problems = said.detail.map(({ loc, type, msg }) => ({
      field: FIELDS[loc[loc.length - 1]],
      type,
      msg,
    }));
    return { problems };
  }
  return said.success ? {} : said;
}
