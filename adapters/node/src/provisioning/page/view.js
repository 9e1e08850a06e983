// What the page shows: one view at a time, and above it a line of what is going on.

export const $ = (id) => document.getElementById(id);

export const show = (id, shown = true) => {
  $(id).hidden = !shown;
};

export const wait = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

const VIEWS = ['proof-form', 'form', 'progress', 'done', 'unusable'];

/** Shows one view, or none, and what stands above it. */
export function view(name, state) {
  for (const other of VIEWS) show(other, other === name);
  $('state').textContent = state;
}

/** Returns the view that is shown, and what stands above it. */
export const viewed = () => [VIEWS.find((name) => !$(name).hidden), $('state').textContent];
