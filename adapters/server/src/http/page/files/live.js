// What changes on the page, as the gateway makes it: fetched when the gateway says that something
// happened, and put in place piece by piece, so that nothing moves under a finger.

import { tell } from './times.js';

/** Time for which a card that changed takes no click, so that none meets what was not read. */
const SETTLES = 700;

/** The text of each element as the gateway sent it. */
const sent = new WeakMap();

function remember(root) {
  for (const element of root.querySelectorAll('[id]')) sent.set(element, element.outerHTML);
}

/** Makes a card take no click for a moment. */
function settle(card) {
  const buttons = [...card.querySelectorAll('button')].filter((button) => !button.disabled);
  for (const button of buttons) button.disabled = true;
  setTimeout(() => {
    for (const button of buttons) button.disabled = false;
  }, SETTLES);
}

/** Names who decided: a kind, and the beginning of an id. */
const maker = (kind, id) => (id === undefined ? kind : `${kind} ${id.slice(0, 8)}`);

/** Returns what became of a node that no longer waits, and by whom. */
async function outcome(node) {
  const read = async (path) => {
    const answer = await fetch(path);
    return answer.ok ? answer.json() : {};
  };
  const { standing, cause, approved_by: approver } = await read(`/api/v1/devices/${node}?glance=true`);
  if (standing === 'revoked') {
    const words = { rejected: 'Rejected', barred: 'Rejected for good', unpaired: 'Revoked' };
    // The newest entry of the log about it says who.
    const { items: [{ who, by } = {}] = [] } = await read(`/api/v1/audit?node=${node}&limit=1`);
    return `${words[cause] ?? 'Ended'} by ${maker(who ?? 'somebody', by)}.`;
  }
  if (standing !== 'paired' && standing !== 'muted') return 'The request has ended.';
  if (approver !== undefined) return `Approved by ${maker(...approver.split(' '))}.`;
  const { grants = [] } = await read(`/api/v1/paired/${node}/permissions`);
  const by = grants.at(-1)?.made_by;
  return by === undefined ? 'Approved elsewhere.' : `Approved by ${maker(...by.split(' '))}.`;
}

/** Leaves a card in place that is gone at the gateway, and says what became of it. */
function leave(card) {
  if (card.classList.contains('decided')) return;
  card.classList.add('decided');
  for (const part of [...card.children]) if (part.tagName !== 'H3') part.remove();
  const words = document.createElement('p');
  words.dataset.words = '';
  words.textContent = card.dataset.outcome ?? 'This was decided elsewhere, or has ended.';
  card.append(words);
  if (card.dataset.outcome === undefined && card.dataset.node !== undefined) {
    outcome(card.dataset.node).then(
      // What this page did itself may be known only by now.
      (told) => (words.textContent = card.dataset.outcome ?? told),
      () => {}, // What stands there is true without it.
    );
  }
}

/** Puts what is new into a list of elements with ids, and returns what came. */
function renew(list, next, came) {
  let place = null;
  for (const wanted of [...next.children]) {
    const present = [...list.children].find((element) => element.id === wanted.id);
    if (present === undefined) {
      const fresh = document.importNode(wanted, true);
      // A card that comes stands below all others, wherever it will stand on a new page.
      const cards = [...list.children].filter((element) => element.matches('.card'));
      const last = fresh.matches('.card') ? cards.at(-1) : undefined;
      const before = last ?? place;
      list.insertBefore(fresh, before === null ? list.firstElementChild : before.nextElementSibling);
      sent.set(fresh, wanted.outerHTML);
      remember(fresh);
      if (fresh.matches('.card')) {
        fresh.classList.add('fresh');
        came.push(fresh);
      }
      if (last === undefined) place = fresh;
    } else {
      if ('keyed' in present.dataset && 'keyed' in wanted.dataset) renew(present, wanted, came);
      else if (sent.get(present) !== wanted.outerHTML) change(present, wanted, came);
      place = [...list.children].find((element) => element.id === wanted.id);
    }
  }
  const ids = new Set([...next.children].map((element) => element.id));
  for (const present of [...list.children]) {
    if (ids.has(present.id) || present.id === '') continue;
    if (present.matches('.card')) leave(present);
    else present.remove();
  }
}

function change(present, wanted, came) {
  const fresh = document.importNode(wanted, true);
  // Where the focus is, it stays: on the same button of the new card, or else on the card.
  const focus = present.contains(document.activeElement) ? document.activeElement : null;
  const at = focus === null ? -1 : [...present.querySelectorAll('button, a')].indexOf(focus);
  present.replaceWith(fresh);
  sent.set(fresh, wanted.outerHTML);
  remember(fresh);
  if (fresh.matches('.card')) {
    settle(fresh);
    came.push(fresh);
  }
  if (focus !== null) [...fresh.querySelectorAll('button, a')][at]?.focus();
}

/** Keeps a part of the page up to date. */
export class Live {
  #root;
  #heard;
  #pending = null;
  #running = false;
  #again = false;

  constructor(root, heard) {
    this.#root = root;
    this.#heard = heard;
    remember(root);
  }

  /** Renews soon; several calls at once are one. */
  soon(after = 150) {
    this.#pending ??= setTimeout(() => {
      this.#pending = null;
      this.now();
    }, after);
  }

  async now() {
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    try {
      const answer = await fetch(location.href, {
        headers: { 'X-Handfast-Part': 'live' },
        redirect: 'manual',
      });
      if (answer.type === 'opaqueredirect' || answer.status === 401) throw new LoggedOut();
      const body = new DOMParser().parseFromString(await answer.text(), 'text/html').body;
      const came = [];
      renew(this.#root, body, came);
      tell(this.#root);
      this.#heard.say(came.map((card) => card.querySelector('h3')?.textContent.trim()));
    } finally {
      this.#running = false;
      if (this.#again) {
        this.#again = false;
        this.soon();
      }
    }
  }
}

/** The session has ended. */
export class LoggedOut extends Error {}

/** Tells those who hear the page what came, at most once in two seconds. */
export class Heard {
  #element;
  #names = new Set();
  #timer = null;

  constructor(element) {
    this.#element = element;
  }

  say(names) {
    for (const name of names) if (name) this.#names.add(name);
    if (this.#names.size > 0) this.#timer ??= setTimeout(() => this.#speak(), 2000);
  }

  #speak() {
    this.#timer = null;
    this.#element.textContent = `New or changed: ${[...this.#names].join(', ')}`;
    this.#names.clear();
  }
}
