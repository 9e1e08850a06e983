// What the page's buttons do: each is one call of the gateway's API, or a dialog before it.

const csrf = document.querySelector('meta[name="handfast-csrf"]').content;
const dialog = document.querySelector('#dialog');

/** An answer that is none: what is wrong, in the gateway's own words. */
export class Refused extends Error {
  constructor(code, message, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** Calls the API. */
export async function call(path, body, method = 'POST') {
  const answer = await fetch(path, {
    method,
    headers: { 'Content-Type': 'application/json', 'X-Handfast-CSRF': csrf },
    body: method === 'DELETE' || method === 'GET' ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  let json = {};
  try {
    json = text === '' ? {} : JSON.parse(text);
  } catch {
    // A proxy's page instead of an answer: its status says enough.
  }
  if (answer.ok) return json;
  const { code = 'failed', message = `the gateway answered ${answer.status}`, hint } = json.error ?? {};
  const mend = hint === 'POST /api/v1/logins' ? ': handfast login' : '';
  throw new Refused(code, message + mend, answer.status);
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Shows a form in the dialog. Resolves to its values, or to `null` if it was closed. */
function ask(title, fields, { submit = 'OK', danger = false } = {}) {
  const form = element('form', { method: 'dialog' });
  form.append(element('h2', { id: 'dialog-title' }, title), ...fields);
  const cancel = element('button', { type: 'button', class: 'plain' }, 'Cancel');
  const go = element('button', { type: 'submit', class: danger ? 'danger' : 'main' }, submit);
  form.append(element('div', { class: 'buttons' }, go, cancel));
  return new Promise((resolve) => {
    let values = null;
    form.addEventListener('submit', () => (values = Object.fromEntries(new FormData(form))));
    cancel.addEventListener('click', () => dialog.close());
    const close = () => {
      // A secret that was shown does not stay in the page behind it.
      dialog.replaceChildren();
      resolve(values);
    };
    dialog.addEventListener('close', close, { once: true });
    dialog.replaceChildren(form);
    dialog.showModal();
  });
}

function field(name, label, { value = '', hint, ...attributes } = {}) {
  const many = attributes.rows !== undefined;
  const input = element(many ? 'textarea' : 'input', { id: `f-${name}`, name, ...attributes });
  input.value = value;
  const parts = [element('label', { for: `f-${name}` }, label), input];
  if (hint) {
    parts.push(element('p', { id: `h-${name}`, class: 'none' }, hint));
    input.setAttribute('aria-describedby', `h-${name}`);
  }
  return element('div', {}, ...parts);
}

function choice(name, label, options, value) {
  const select = element('select', { id: `f-${name}`, name });
  for (const [key, text] of options) {
    select.append(element('option', { value: key, ...(key === value ? { selected: '' } : {}) }, text));
  }
  return element('div', {}, element('label', { for: `f-${name}` }, label), select);
}

const sentence = (text) => element('p', {}, text);

const ENDS = [
  ['', 'as the gateway is set up'],
  ['3600', 'in an hour'],
  ['86400', 'in a day'],
  ['2592000', 'in 30 days'],
  ['31536000', 'in a year'],
];

const scopes = (value, empty = '') =>
  field('scopes', 'Permissions, a line each', {
    value,
    rows: 5,
    spellcheck: 'false',
    hint: `Like read:/lights/** or write:/lights/kitchen. Writing includes reading. ${empty}`.trim(),
  });

/** Reads a node by its name or id, without counting it as shown. */
const read = (which) => call(`/api/v1/devices/${encodeURIComponent(which)}?glance=true`, undefined, 'GET');

/** The number of nodes that are offered for a choice; any other is named. */
const OFFERED = 50;

/** Makes the field for the node whose place is taken. */
async function place(asked, namesake) {
  const { items } = await call(`/api/v1/devices?limit=${OFFERED}`, undefined, 'GET');
  const paired = items.filter(({ standing }) => standing === 'paired');
  // The one that is most likely meant comes first.
  paired.sort((a, b) => (b.node_id === namesake) - (a.node_id === namesake));
  const list = element('datalist', { id: 'places' });
  for (const { node_id: id, friendly_name: called, room } of paired) {
    list.append(element('option', { value: id, label: room === '' ? called : `${called}, ${room}` }));
  }
  const chosen = field('replaces', 'In the place of the node', {
    list: 'places',
    autocomplete: 'off',
    spellcheck: 'false',
    hint: 'Its whole name, or 6 or more characters of its id; empty for none. Without permissions above, this one gets those of that node.',
  });
  const input = chosen.querySelector('input');
  input.addEventListener('input', () => {
    // The permissions move with the place, unless others are named.
    const named = input.form.elements.scopes;
    if (input.value !== '' && named.value === asked) named.value = '';
    else if (input.value === '' && named.value === '') named.value = asked;
  });
  return [chosen, list];
}

/** Says what a replacement does, and asks for it. */
async function sure(name, old, named) {
  const whose = old.room === '' ? old.friendly_name : `${old.friendly_name} (${old.room})`;
  const shown = [
    sentence(`${name} takes the place of ${whose}, node ${old.node_id.slice(0, 8)}, fingerprint:`),
    element('p', { class: 'fingerprint' }, old.fingerprint?.replaceAll('-', ' ') ?? 'none'),
    sentence(
      named.trim() === ''
        ? 'It gets the name, the room, the permissions and the tasks of that node.'
        : 'It gets the name, the room and the tasks of that node, and the permissions that you named.',
    ),
    sentence('That node is out at once, and its key for good.'),
  ];
  const title = 'Approve it in that place?';
  return (await ask(title, shown, { submit: 'Approve in its place', danger: true })) !== null;
}

/** Reads lines like `read:/lights/**`. */
export function permissions(text) {
  const found = { read: [], write: [], admin: [] };
  for (const line of text.split('\n').map((line) => line.trim())) {
    if (line === '') continue;
    const [action, pattern] = [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)];
    if (!(action in found)) {
      throw new Refused('usage', `${line}: a permission begins with read:, write: or admin:`, 0);
    }
    found[action].push(pattern.trim());
  }
  return found;
}

/** Shows a secret that is told once, and confirms or cancels its delivery. */
async function secret(title, lines, delivery) {
  const shown = lines.flatMap(([label, text]) => [
    sentence(label),
    element('p', { class: 'secret' }, text),
  ]);
  shown.push(sentence('It is shown only now. Without “I have it” it is undone in a minute.'));
  const has = await ask(title, shown, { submit: 'I have it' });
  if (delivery) {
    await call(`/api/v1/deliveries/${delivery}/${has === null ? 'cancel' : 'confirm'}`, {});
  }
}

async function approved(answer) {
  if (answer.token) {
    await secret(`${answer.friendly_name} is approved`, [['Its token:', answer.token]], answer.delivery);
    return 'Approved; its token was shown.';
  }
  return 'Approved by you.';
}

/** What each kind of button does. Each resolves to what became of it, or to `null` for nothing. */
const ACTS = {
  async call({ call: path, method, body, asks }) {
    if (asks && (await ask('Are you sure?', [sentence(asks)], { submit: 'Yes', danger: true })) === null) {
      return null;
    }
    const answer = await call(path, JSON.parse(body), method);
    return path.endsWith('/pair') ? approved(answer) : 'Done.';
  },

  async with({ with: path, body, scopes: asked, name, namesake }) {
    const fields = [
      scopes(asked),
      choice('expires', 'They end', ENDS, ''),
      field('message', 'A message to the node', { maxlength: '128' }),
      ...(await place(asked, namesake)),
    ];
    const values = await ask('Approve with …', fields, { submit: 'Approve' });
    if (values === null) return null;
    const terms = { ...JSON.parse(body) };
    const old = values.replaces.trim() === '' ? null : await read(values.replaces.trim());
    if (old !== null && !(await sure(name, old, values.scopes))) return null;
    if (old !== null) Object.assign(terms, { replaces: old.node_id, replaces_version: old.version });
    if (values.scopes.trim() !== '') terms.permissions = permissions(values.scopes);
    if (values.expires !== '') terms.expires_seconds = Number(values.expires);
    if (values.message !== '') terms.message = values.message;
    const outcome = await approved(await call(path, terms));
    return old === null ? outcome : `Approved by you, in the place of ${old.node_id.slice(0, 8)}.`;
  },

  async policy({ policy: path, most }) {
    const values = await ask(
      'Approve a network',
      [
        sentence('Nodes with keys that ask from there are approved without being looked at.'),
        field('from', 'The network', {
          required: '',
          spellcheck: 'false',
          autocapitalize: 'none',
          hint: 'Like 192.168.1.0/24 or fd00::/64.',
        }),
        choice('lasts', 'For', [
          ['600', '10 minutes'],
          ['3600', 'an hour'],
          ['28800', '8 hours'],
          ['86400', 'a day'],
        ], '600'),
        field('max', 'At most so many nodes', { value: '20', type: 'number', min: '1', max: most, required: '' }),
        scopes('', 'Left empty: what the gateway is set up to give.'),
        choice('expires', 'Their permissions end', ENDS, ''),
      ],
      { submit: 'Approve them' },
    );
    if (values === null) return null;
    const body = { from: values.from.trim(), for_seconds: Number(values.lasts), max: Number(values.max) };
    if (values.scopes.trim() !== '') body.permissions = permissions(values.scopes);
    if (values.expires !== '') body.grant_expires_seconds = Number(values.expires);
    await call(path, body);
    return 'They are approved by you.';
  },

  async reject({ reject: path, reasons }) {
    const fields = [sentence('It may ask again later.')];
    if (reasons !== undefined) fields.push(field('reason', 'The reason, for the node', { maxlength: '128' }));
    const values = await ask('Reject the request?', fields, { submit: 'Reject', danger: true });
    if (values === null) return null;
    await call(path, values.reason ? { reason: values.reason } : {});
    return 'Rejected by you.';
  },

  async permit({ permit: path, scopes: wanted }) {
    const ends = [['never', 'never'], ...ENDS.slice(1)];
    const values = await ask(
      'Change permissions',
      [
        scopes(wanted),
        choice('expires', 'They end', [['', 'as now'], ...ends], ''),
        sentence('Fewer are in force at once. More are in force once the node has confirmed them.'),
      ],
      { submit: 'Change' },
    );
    if (values === null) return null;
    const change = { permissions: permissions(values.scopes) };
    if (values.expires === 'never') change.expires_seconds = 'never';
    else if (values.expires !== '') change.expires_seconds = Number(values.expires);
    await call(path, change);
    return 'Decided by you.';
  },

  async rename({ rename: path, now }) {
    const values = await ask('Rename', [field('name', 'Name', { value: now, required: '', maxlength: '64' })]);
    if (values === null) return null;
    await call(path, { name: values.name });
    return 'Renamed.';
  },

  async invoke({ invoke: path, capability }) {
    const values = await ask(
      `Run ${capability}`,
      [field('input', 'Input, as JSON', { value: '{}', rows: 4, spellcheck: 'false' })],
      { submit: 'Run' },
    );
    if (values === null) return null;
    let input;
    try {
      input = JSON.parse(values.input || 'null');
    } catch (error) {
      throw new Refused('usage', `The input is no JSON: ${error.message}`, 0);
    }
    await call(path, { capability, input });
    return 'Queued.';
  },

  async mint({ mint: path }) {
    const values = await ask(
      'A new code',
      [
        field('label', 'What it is for', { maxlength: '64' }),
        choice('kind', 'It reaches the node', [
          ['letters', 'typed, letters and digits'],
          ['typed', 'typed, as a PIN'],
          ['qr', 'copied, as a long text'],
        ]),
        scopes(''),
        choice('expires', 'The code ends', [['300', 'in 5 minutes'], ...ENDS.slice(1, 3)], '300'),
        field('uses', 'For so many nodes', { value: '1', type: 'number', min: '1', max: '255' }),
      ],
      { submit: 'Make it' },
    );
    if (values === null) return null;
    const { label, kind } = values;
    const body = { label, kind, uses: Number(values.uses), expires_seconds: Number(values.expires) };
    if (values.scopes.trim() !== '') body.permissions = permissions(values.scopes);
    const made = await call(path, body);
    const lines = [['Type it at the node:', made.code]];
    if (made.invitation) lines.push(['Or give it this text:', made.invitation]);
    await secret('The code', lines, made.delivery);
    return 'Made.';
  },

  async invite({ invite: path }) {
    const values = await ask(
      'Invite a companion',
      [field('for_device', 'Which phone or program', { maxlength: '64' })],
      { submit: 'Make a setup code' },
    );
    if (values === null) return null;
    const made = await call(path, values.for_device ? { for_device: values.for_device } : {});
    await secret('The setup code', [['Give this text to the companion:', made.payload]], made.delivery);
    return 'Made.';
  },
};

/** Says what went wrong, beside the button. */
function fail(card, error) {
  card.querySelector('.failed')?.remove();
  card.append(element('p', { class: 'failed', role: 'alert' }, error.message));
}

/** Does what a button says. Resolves to `true` if something was done. */
export async function press(button) {
  const kind = Object.keys(ACTS).find((name) => name in button.dataset);
  if (kind === undefined) return false;
  const card = button.closest('[id].card, [id].row, section') ?? document.body;
  card.querySelector('.failed')?.remove();
  button.disabled = true;
  try {
    const outcome = await ACTS[kind]({ ...button.dataset });
    if (outcome === null) return false;
    card.dataset.outcome = outcome;
    // The stream of changes may have been faster than the answer.
    const words = card.querySelector('[data-words]');
    if (words !== null) words.textContent = outcome;
    return true;
  } catch (error) {
    fail(card, error);
    // What the card shows may be what is wrong with it.
    return error instanceof Refused && error.status !== 0;
  } finally {
    button.disabled = false;
  }
}
