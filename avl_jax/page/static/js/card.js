/** The card of an answer. */

import * as api from './api.js';
import * as curve from './curve.js';
import {find, make, toast} from './elements.js';
import {Player} from './player.js';
import * as texts from './texts.js';
import {clock, percent, say} from './texts.js';

const VERY = 0.005; // share of other questions, below which it fits very well
const WELL = 0.02;

/**
 * Makes the card of an answer.
 *
 * @param {object} answer of the API
 * @param {number} background how many other questions it was compared with
 * @param {function(object)} onLike called when more like this is wanted
 * @returns {object} element, answer, player and judge(threshold)
 */
export function build(answer, background, onLike) {
  const element = find('card').content.cloneNode(true).firstElementChild;
  texts.fill(element);
  const part = (name) => element.querySelector(`.${name}`);
  const at = answer.best ?? answer.start;
  let move = () => {};
  const span = {start: answer.start, end: answer.end, at};
  const player = new Player(part('screen'), answer, span, (now) => move(now));
  if (player.plays) {
    move = curve.mount(part('curve'), answer, (now) => player.play(now));
  }
  writeTitle(part('title'), answer);
  part('place').textContent = place(answer);
  part('like').addEventListener('click', () => onLike(answer));
  part('link').addEventListener('click', () => {
    copy(api.momentUrl(answer.file, player.now));
  });
  offerClip(part('clip'), answer);
  for (const name of ['like', 'link', 'clip']) {
    const text = `${say(`card.${name}`)}: ${answer.name} ${clock(at)}`;
    part(name).setAttribute('aria-label', text);
  }
  const judge = (threshold) => writeSure(part, answer, background, threshold);
  return {element, answer, player, judge};
}

/** Whether an answer fits; null: that is not known. */
export function fits({share}, threshold) {
  return share === null ? null : share <= threshold;
}

function writeTitle(title, {name, start, end}) {
  title.append(make('span', {className: 'name', textContent: name}));
  if (end <= start) return;
  const time = `${clock(start)}–${clock(Math.ceil(end))}`;
  title.append(' ', make('span', {className: 'span', textContent: time}));
}

/** Folder, language, date and length, as far as they are known. */
export function place({folder, language, date, duration}) {
  const length = duration ? say('card.length', {time: clock(duration)}) : '';
  return [
    folder,
    language && texts.languageName(language),
    date && texts.day(date),
    length,
  ].filter(Boolean).join(' · ');
}

function writeSure(part, answer, background, threshold) {
  const [word, bars] = sureness(answer.share, threshold);
  const score = texts.number(answer.score, 2, 2);
  part('sure-word').textContent = word;
  part('sure-text').textContent = `${reason(answer, background)} ${say(
    'card.score',
    {score},
  )}`.trim();
  part('bars').dataset.full = bars;
  part('bars').hidden = answer.share === null;
  part('sure').closest('.card').classList.toggle('is-chance', bars === 0);
}

/** How sure, in a word, and how many of three bars are full. */
function sureness(share, threshold) {
  if (share === null) return ['', null];
  if (share > threshold) return [say('sure.chance'), 0];
  if (share <= VERY) return [say('sure.very'), 3];
  return share <= WELL ? [say('sure.well'), 2] : [say('sure.may'), 1];
}

function reason({share}, background) {
  if (share === null) return '';
  if (share === 0) return texts.sayCount('sure.none', background);
  return texts.sayCount('sure.share', background, {share: percent(share)});
}

function offerClip(link, {file, start, end, missing}) {
  link.hidden = missing || end <= start;
  if (!link.hidden) link.href = api.clipUrl(file, start, end);
}

/** Copies an address; where the browser forbids that, shows it. */
export async function copy(address) {
  try {
    await navigator.clipboard.writeText(address);
    toast(say('link.copied'));
  } catch {
    window.prompt(say('link.copy'), address);
  }
}
