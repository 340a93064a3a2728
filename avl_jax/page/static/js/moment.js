/** A moment that a link names: `?file=ID&t=12.5`. */

import * as api from './api.js';
import * as card from './card.js';
import {find, make, sign} from './elements.js';
import {Player} from './player.js';
import {clock, say} from './texts.js';

const AHEAD = 20; // seconds that a clip from here has

let media = null;
let at = 0;

/** Opens the moment that the address of the page names, if it names one. */
export async function open(onError) {
  const query = new URLSearchParams(location.search);
  const file = query.get('file');
  if (!file) return;
  at = Math.max(0, Number.parseFloat(query.get('t')) || 0);
  try {
    media = await api.fileAbout(file);
  } catch (error) {
    onError(error.message, error.status ? 'en' : '');
    return;
  }
  const length = media.duration ?? Infinity;
  at = Math.min(at, Math.max(0, length - 0.1));
  fill(Math.min(at + AHEAD, length));
  rewrite();
  find('moment').hidden = false;
  find('moment-title').focus();
}

function fill(end) {
  const screen = make('div', {className: 'screen'});
  const player = new Player(screen, media, {start: at, end, at});
  player.load();
  const link = make('button', {type: 'button', className: 'quiet'});
  link.append(sign('link'), make('span', {className: 'moment-link'}));
  link.addEventListener('click', () => {
    card.copy(api.momentUrl(media.file, player.now));
  });
  find('moment-place').replaceChildren(
    screen,
    make('p', {className: 'place soft moment-place'}),
    make('div', {className: 'actions'}, link),
  );
}

/** Writes its texts in the language of the page. */
export function rewrite() {
  if (!media) return;
  const values = {name: media.name, time: clock(at)};
  const isTimed = media.kind !== 'picture';
  find('moment-title').textContent = isTimed
    ? say('moment.title', values)
    : media.name;
  document.querySelector('.moment-place').textContent = card.place(media);
  document.querySelector('.moment-link').textContent = say('card.link');
}

/** Closes it; the address of the page no longer names it. */
export function close() {
  if (location.search) {
    history.replaceState(null, '', new URL('./', document.baseURI));
  }
  if (find('moment').hidden) return;
  media = null;
  find('moment').hidden = true;
  find('moment-place').replaceChildren();
  find('record').focus();
}
