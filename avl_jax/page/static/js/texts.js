/**
 * The words of the page in the reader's language.
 *
 * A language is a file `texts/TAG.json` of flat keys, and a line of
 * `LANGUAGES`. `{name}` in a text stands for a value. A text that depends on a
 * number has a key for each plural form that its language has: `key.one`,
 * `key.other`.
 */

import * as kept from './kept.js';

export const LANGUAGES = {en: 'English', fr: 'Français'};

let texts = {};
let language = 'en';

/** The text of a key, with its values filled in. */
export function say(key, values = {}) {
  const text = texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** The text of a key for `n` of something; `{n}` is the number. */
export function sayCount(key, n, values = {}) {
  const form = new Intl.PluralRules(language).select(n);
  const chosen = `${key}.${form}` in texts ? form : 'other';
  return say(`${key}.${chosen}`, {n: number(n), ...values});
}

/** A number as the language writes it, with at most `most` decimals. */
export function number(value, most = 0, least = 0) {
  const options = {maximumFractionDigits: most, minimumFractionDigits: least};
  return new Intl.NumberFormat(language, options).format(value);
}

/** '3.1 %' of 0.031, as the language writes it. */
export function percent(share) {
  const digits = share < 0.01 ? 2 : share < 0.1 ? 1 : 0;
  const options = {style: 'percent', maximumFractionDigits: digits};
  return new Intl.NumberFormat(language, options).format(share);
}

/** The name of a language: 'French' of 'fr'; the tag itself if unknown. */
export function languageName(tag) {
  try {
    return new Intl.DisplayNames([language], {type: 'language'}).of(tag);
  } catch {
    return tag; // It is no tag of a language, but whatever the index says.
  }
}

/** '1 May 2024' of '2024-05-01', as the language writes it; '2024' as it is. */
export function day(date) {
  const time = new Date(`${date}T12:00:00`);
  if (Number.isNaN(time.getTime()) || date.length < 10) return date;
  return new Intl.DateTimeFormat(language, {dateStyle: 'medium'}).format(time);
}

/** '1:02:03' of 3723 seconds, '0:07' of 7.5. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const pad = (value) => String(value).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${pad(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${pad(whole % 60)}`;
}

/** Fills in the texts that the elements below `root` name in `data-text`. */
export function fill(root) {
  for (const element of root.querySelectorAll('[data-text]')) {
    element.textContent = say(element.dataset.text);
  }
  for (const element of root.querySelectorAll('[data-text-label]')) {
    element.setAttribute('aria-label', say(element.dataset.textLabel));
  }
  for (const element of root.querySelectorAll('[data-text-title]')) {
    element.title = say(element.dataset.textTitle);
  }
}

/** The language that the reader chose before, or that the browser asks for. */
export function preferred() {
  const asked = [kept.get('language'), ...navigator.languages];
  const known = asked.map((tag) => tag?.split('-')[0]);
  return known.find((tag) => tag in LANGUAGES) ?? 'en';
}

/** Loads a language and fills in the page; `keep`: also for later visits. */
export async function speak(tag, keep = false) {
  const address = new URL(`../texts/${tag}.json`, import.meta.url);
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: ${response.status}`);
  texts = await response.json();
  language = tag;
  if (keep) kept.set('language', tag);
  document.documentElement.lang = tag;
  document.title = say('title');
  fill(document);
}
