/** The progress of an indexing that runs. */

import * as api from './api.js';
import {find, toast} from './elements.js';
import {clock, number, say, sayCount} from './texts.js';

const SOON = 2000; // milliseconds to the next look while an indexing runs
const LATE = 20_000; // else

let last = null;

/** Looks now and then; calls `onEnd` when an indexing has ended. */
export function watch(onEnd) {
  const look = async () => {
    const now = document.hidden ? last : await api.progress().catch(() => last);
    const ended = last && !now;
    last = now;
    rewrite();
    if (ended) {
      toast(say('indexing.done'));
      onEnd();
    }
    setTimeout(look, now ? SOON : LATE);
  };
  look();
}

/** Writes what is known of it. */
export function rewrite() {
  find('indexing').hidden = !last;
  if (!last) return;
  const {done, total, seconds_left: left, failures} = last;
  const parts = [
    say('indexing.files', {done: number(done), total: number(total ?? 0)}),
    left === null ? '' : say('indexing.left', {time: clock(left)}),
    failures ? sayCount('indexing.failures', failures) : '',
  ];
  find('indexing-text').textContent = parts.filter(Boolean).join(' ');
  const bar = find('indexing-bar');
  if (total) [bar.max, bar.value] = [total, done];
  else bar.removeAttribute('value');
}
