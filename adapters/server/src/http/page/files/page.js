// Puts the page together: live parts, buttons and times.

import { call, press } from './act.js';
import { Heard, Live, LoggedOut } from './live.js';
import { tell } from './times.js';

const live = new Live(document.querySelector('#live'), new Heard(document.querySelector('#announced')));
const stale = document.querySelector('#stale');

/** Says above the page that it is not up to date, and why; an empty text takes it back. */
function warn(text) {
  stale.textContent = text;
  stale.hidden = text === '';
}

const renew = () =>
  live.now().then(
    () => warn(''),
    (error) => {
      if (error instanceof LoggedOut) {
        warn('Your session has ended. Log in once more: handfast login');
        stream.close();
      } else warn('The gateway cannot be reached. This page is as it was, and tries again.');
    },
  );

/** The stream of changes. It is closed while the page is hidden: a browser has few for a gateway. */
const stream = {
  source: null,
  open() {
    if (this.source !== null) return;
    this.source = new EventSource('/api/v1/events');
    this.source.addEventListener('open', renew);
    this.source.addEventListener('message', () => live.soon());
    this.source.addEventListener('resync', renew);
    this.source.addEventListener('error', () => {
      // A closed one is not opened again by itself: it may be the session that has ended.
      if (this.source?.readyState !== EventSource.CLOSED) return;
      this.close();
      renew();
      setTimeout(() => document.hidden || this.open(), 3000);
    });
  },
  close() {
    this.source?.close();
    this.source = null;
  },
};

document.addEventListener('visibilitychange', () => (document.hidden ? stream.close() : stream.open()));
if (!document.hidden) stream.open();

document.addEventListener('click', async (event) => {
  const button = event.target.closest('button');
  if (button === null || button.closest('dialog')) return;
  if ('logout' in button.dataset) {
    await call('/logout', {}).catch(() => {});
    location.assign('/login');
    return;
  }
  if (await press(button)) renew();
});

tell(document);
// What has ended by the clock is read anew; the gateway tells nobody of it.
setInterval(() => tell(document) && !document.hidden && live.soon(1500), 1000);
