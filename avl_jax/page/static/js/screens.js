/** What a screen shows when nothing plays: a poster, stills, or a sign. */

import * as api from './api.js';
import {make, sign} from './elements.js';
import {clock, say} from './texts.js';

const WIDTH = 640; // of a frame, pixels
const STILLS = 5;

/** The address of the picture of a moment. */
export const address = ({file}, seconds) => api.frameUrl(file, seconds, WIDTH);

function frame(media, seconds, text) {
  const properties = {alt: text, loading: 'lazy', decoding: 'async'};
  const image = make('img', {...properties, src: address(media, seconds)});
  image.addEventListener('error', () => image.classList.add('is-broken'));
  return image;
}

/** The picture that a file is. */
export const picture = (media) => frame(media, 0, media.name);

/** A sign with a text, for a file that cannot be shown. */
export function blank(name, text = '') {
  const words = text ? [make('p', {textContent: text})] : [];
  return make('div', {className: 'blank'}, sign(name), ...words);
}

/** A button with the picture of a moment. */
export function poster(media, seconds, onPress) {
  const button = make('button', {type: 'button', className: 'poster'});
  const values = {name: media.name, time: clock(seconds)};
  button.setAttribute('aria-label', say('card.play', values));
  const isSound = media.kind === 'sound';
  button.append(
    isSound ? blank('sound') : frame(media, seconds, ''),
    make('span', {className: 'go'}, sign('play')),
    make('span', {className: 'moment', textContent: clock(seconds)}),
  );
  button.addEventListener('click', onPress);
  return button;
}

/** Pictures from a moment, one beside the other. */
export function stills(media, start, end) {
  const step = Math.max(0, end - 0.5 - start) / (STILLS - 1);
  const figures = Array.from({length: STILLS}, (_, i) => {
    const time = clock(start + i * step);
    const text = say('card.frame', {name: media.name, time});
    const caption = make('figcaption', {textContent: time});
    return make('figure', {}, frame(media, start + i * step, text), caption);
  });
  const group = make('div', {className: 'stills', tabIndex: 0}, ...figures);
  group.setAttribute('role', 'group');
  group.setAttribute('aria-label', say('player.stills'));
  return group;
}
