// Takes the payload out of the address bar and the history, before anything else runs.
globalThis.taken = location.hash.slice(1);
history.replaceState(null, '', location.pathname + location.search);
