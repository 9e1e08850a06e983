// The field for the proof on the node's label, and what is said while it is not taken.

import { prove } from './send.js';
import { $, view, viewed, wait } from './view.js';
import { unproven } from './words.js';

let taken = () => {};

/** Shows the field for the proof until the node has taken it, then what was there before. */
export async function proves(told) {
  const before = viewed();
  view('proof-form', 'Type the proof that is printed on the node’s label.');
  const done = new Promise((resolve) => {
    taken = resolve;
  });
  $('proof').focus();
  if (told !== undefined) await refused(told);
  await done;
  view(...before);
}

/** Says why a proof is not taken, and counts down to the next try. */
async function refused(told) {
  const { words, seconds } = unproven(told);
  $('prove').disabled = true;
  $('proof').setAttribute('aria-invalid', 'true');
  $('proof-problem').textContent = words;
  for (let left = seconds; left > 0; left -= 1) {
    $('proof-wait').textContent = `Try again in ${left} s.`;
    await wait(1000);
  }
  $('proof-wait').textContent = seconds > 0 ? 'Try again now.' : '';
  $('prove').disabled = false;
}

async function typed(event) {
  event.preventDefault();
  // Core ignores spaces and dashes; keyboards of phones write other marks, too.
  const text = $('proof').value.replace(/[^a-z0-9]/gi, '');
  $('prove').disabled = true;
  $('proof-problem').textContent = '';
  $('proof-wait').textContent = 'Asking the node…';
  $('proof').removeAttribute('aria-invalid');
  $('proof').select();
  // A node that does not answer has said nothing.
  const told = await prove(text).catch(() => ({ silent: true }));
  if (Object.keys(told).length > 0) return refused(told);
  $('proof').value = '';
  $('proof-wait').textContent = '';
  $('prove').disabled = false;
  return taken();
}

$('proof-form').addEventListener('submit', typed);
