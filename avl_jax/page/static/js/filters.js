/** What answers may be: by folder, language, date and length of the file. */

import {find, make} from './elements.js';
import {clock, languageName, say} from './texts.js';

const FIELDS = [
  'folder',
  'language',
  'date_from',
  'date_to',
  'seconds_from',
  'seconds_to',
];

let about = null;

const form = () => find('filters-form');
const field = (name) => form().elements[name];

/** Calls `onChange` when other answers are wanted. */
export function setUp(onChange) {
  const changed = () => {
    countSet();
    if (form().reportValidity()) onChange();
  };
  form().addEventListener('change', (event) => {
    checkLength(event.target);
    changed();
  });
  form().addEventListener('reset', () => {
    for (const name of ['seconds_from', 'seconds_to']) {
      field(name).setCustomValidity('');
    }
    setTimeout(changed); // The form is then empty.
  });
  form().addEventListener('submit', (event) => event.preventDefault());
}

/** Takes what the index offers. */
export function use(description) {
  about = description;
  rewrite();
}

/** Writes the choices; a filter without a choice is not shown. */
export function rewrite() {
  if (!about) return;
  const {folders = [], languages = [], dates, seconds} = about.filters;
  choose('folder', folders, (folder) => folder);
  choose('language', languages, languageName);
  find('filters-dates').hidden = !dates;
  find('filters-seconds').hidden = !seconds;
  if (dates) {
    for (const name of ['date_from', 'date_to']) {
      [field(name).min, field(name).max] = dates;
    }
  }
  if (seconds) {
    field('seconds_from').placeholder = clock(seconds[0]);
    field('seconds_to').placeholder = clock(Math.ceil(seconds[1]));
  }
  field('answers').closest('label').hidden = about.answers.length < 2;
  for (const option of field('answers').options) {
    option.hidden = !about.answers.includes(option.value);
  }
  countSet();
}

function choose(name, values, nameOf) {
  const select = field(name);
  const chosen = select.value;
  select.closest('label').hidden = !values.length;
  select.replaceChildren(
    make('option', {value: '', textContent: say('filters.all')}),
    ...values.map((value) =>
      make('option', {value, textContent: nameOf(value)}),
    ),
  );
  select.value = chosen;
}

/** Writes the filters into the fields of a search. */
export function write(fields) {
  fields.set('answers', field('answers').value);
  for (const name of FIELDS) {
    const value = read(name);
    if (value !== '') fields.set(name, value);
  }
}

function read(name) {
  const {value} = field(name);
  return name.startsWith('seconds') && value.trim() ? seconds(value) : value;
}

/** Seconds of '90', '1:30' or '1:02:03'; NaN: it is none of these. */
export function seconds(text) {
  const found = /^(?:(?:(\d+):)?(\d+):)?(\d+(?:[.,]\d+)?)$/.exec(text.trim());
  if (!found) return NaN;
  const [, hours = 0, minutes = 0, rest] = found;
  return 3600 * hours + 60 * minutes + Number(rest.replace(',', '.'));
}

function checkLength(input) {
  if (!input.name.startsWith('seconds')) return;
  const isWrong = input.value.trim() && Number.isNaN(seconds(input.value));
  input.setCustomValidity(isWrong ? say('filters.length') : '');
}

/** Shows how many filters are set, also while they are folded away. */
function countSet() {
  const count = FIELDS.filter((name) => field(name).value).length;
  const badge = find('filters-count');
  badge.hidden = !count;
  badge.textContent = count || '';
}

/** Whether a filter is set. */
export const areSet = () => FIELDS.some((name) => field(name).value);
