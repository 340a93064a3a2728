/** The answers to a question. */

import * as card from './card.js';
import {find, show} from './elements.js';
import * as exports from './exports.js';
import * as filters from './filters.js';
import {number, percent, say, sayCount} from './texts.js';

// Shares of other questions, above which an answer does not fit.
const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1];

let found = null; // what the API answered
let cards = [];
let threshold = 0.1;
let like = () => {};

const fits = (answer) => card.fits(answer, threshold);

/** Makes the threshold, the exports and "more like this" work. */
export function setUp(onLike) {
  like = onLike;
  const slider = find('threshold');
  slider.addEventListener('input', () => {
    threshold = STEPS[slider.value];
    judge();
  });
  for (const button of document.querySelectorAll('[data-export]')) {
    button.addEventListener('click', () => {
      exports.save(button.dataset.export, found, fits);
    });
  }
}

/** Takes the server's threshold. */
export function use(about) {
  threshold = about.threshold;
  const steps = STEPS.map((step) => Math.abs(Math.log(step / threshold)));
  const nearest = steps.indexOf(Math.min(...steps));
  if (steps[nearest] > 1e-9) STEPS[nearest] = threshold;
  find('threshold').max = STEPS.length - 1;
  find('threshold').value = nearest;
}

/** The threshold that the reader chose. */
export const chosenThreshold = () => threshold;

/** Shows answers. */
export function set(answers) {
  found = answers;
  rewrite();
}

/** Removes them, before others come. */
export function clear() {
  found = null;
  cards = [];
  if (find('cards').contains(document.activeElement)) {
    find('answers').focus({preventScroll: true});
  }
  for (const id of ['exports', 'strictness', 'unsure', 'more']) {
    find(id).hidden = true;
  }
  sayNothing('', '');
  find('cards').replaceChildren();
}

/** Writes all of them, in the language of the page. */
export function rewrite() {
  if (!found) return;
  const {answers, background} = found;
  cards = answers.map((answer) => card.build(answer, background, like));
  find('cards').replaceChildren(...cards.map(({element}) => element));
  find('exports').hidden = !answers.length;
  const isKnown = answers.some(({share}) => share !== null);
  find('strictness').hidden = !isKnown;
  find('unsure').hidden = isKnown || !answers.length;
  const why = filters.areSet() ? say('empty.filters') : say('empty.index');
  show(find('empty'), answers.length ? '' : why);
  judge();
}

/** Says what fits, with the threshold as it is. */
function judge() {
  const share = percent(threshold);
  find('threshold-text').textContent = say('threshold.text', {share});
  find('threshold').setAttribute('aria-valuetext', share);
  cards.forEach((each) => each.judge(threshold));
  const {answers} = found;
  const verdicts = answers.map(fits);
  const nothing = answers.length > 0 && verdicts.every((x) => x === false);
  if (nothing) sayNothing(say('nothing.title'), say('nothing.text', {share}));
  else sayNothing('', '');
  const count = verdicts.filter(Boolean).length;
  find('status').textContent = summary(answers.length, count, nothing);
}

/** Fills the note that nothing fits: readers of screens tell new texts. */
function sayNothing(title, text) {
  find('nothing').hidden = !title;
  find('nothing-title').textContent = title;
  find('nothing-text').textContent = text;
}

function summary(total, count, nothing) {
  if (!total) return say('answers.none');
  if (nothing) return ''; // A note says it.
  if (!count) return sayCount('answers.found', total);
  return sayCount('answers.fit', count, {total: number(total)});
}

/** Moves the focus to the next card (`step` 1) or the one before (-1). */
export function move(step) {
  if (!cards.length) return;
  const now = cards.findIndex(hasFocus);
  const next = now < 0 ? 0 : Math.max(0, now + step);
  cards[Math.min(cards.length - 1, next)].element.focus();
}

const hasFocus = ({element}) => element.contains(document.activeElement);

/** The card with the focus, else the first one. */
export const current = () => cards.find(hasFocus) ?? cards[0];

/** Says that a question is asked, and what is wrong. */
export function setBusy(isBusy) {
  find('busy').hidden = !isBusy;
  find('cards').setAttribute('aria-busy', isBusy);
  if (isBusy) find('status').textContent = say('answers.busy');
}

/** Says what is wrong, in a language that readers of screens must know. */
export function setError(text, language = '') {
  if (find('error').textContent !== text) show(find('error'), text);
  find('error').lang = language;
  if (text) find('status').textContent = '';
}
