// Times as people say them. The text that the gateway wrote stays as the title.

const UNITS = [
  [86_400, 'day'],
  [3_600, 'hour'],
  [60, 'minute'],
];

/** Returns a span of time in its largest unit. */
export function span(seconds) {
  for (const [length, name] of UNITS) {
    const count = Math.floor(seconds / length);
    if (count >= 1) return `${count} ${name}${count === 1 ? '' : 's'}`;
  }
  return `${Math.max(0, Math.floor(seconds))} s`;
}

/** Returns the time left, as a clock where it is short. */
export function left(seconds) {
  if (seconds >= 3_600) return `in ${span(seconds)}`;
  const whole = Math.max(0, Math.ceil(seconds));
  return `in ${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

/** Writes all times below an element anew. Returns `true` if a countdown has just ended. */
export function tell(root, now = Date.now()) {
  let ended = false;
  for (const time of root.querySelectorAll('time[data-ago], time[data-until]')) {
    const at = Date.parse(time.dateTime);
    if (Number.isNaN(at)) continue;
    time.title ||= time.textContent;
    const seconds = (at - now) / 1000;
    if ('until' in time.dataset) {
      time.textContent = seconds <= 0 ? 'now' : left(seconds);
      // Only one that was seen running ends here, so that nothing is asked for again and again.
      if (seconds > 0) time.dataset.runs = '';
      else if ('runs' in time.dataset) {
        delete time.dataset.runs;
        ended = true;
      }
    } else time.textContent = seconds > -5 ? 'just now' : `${span(-seconds)} ago`;
  }
  return ended;
}
