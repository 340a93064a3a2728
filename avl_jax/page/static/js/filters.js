/** What answers may be: by folder, language, date and length of the file. */

import {find, make, show} from './elements.js';
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
  form().addEventListener('change', ({target}) => {
    judge(target);
    countSet();
    // A date changes with each digit of its year: a word would disturb.
    if (target.type !== 'date' || form().checkValidity()) complain();
    if (form().checkValidity()) onChange();
  });
  form().addEventListener('focusout', complain);
  form().addEventListener('reset', () => {
    for (const name of FIELDS) field(name).setCustomValidity('');
    setTimeout(() => {
      countSet(); // The form is then empty.
      complain();
      onChange();
    });
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
  const {folders, languages, dates, seconds} = about.filters;
  const all = say('filters.all');
  choose('folder', ['', ...folders], (folder) => folder || all);
  choose('language', ['', ...languages], (tag) =>
    tag ? languageName(tag) : all,
  );
  const names = {
    video: say('filters.seen'),
    audio: say('filters.heard'),
    sum: say('filters.both'),
  };
  // As the API's default: what is seen, if the index has it.
  const first = (name) => Number(name === 'video');
  const kinds = [...about.answers].sort((a, b) => first(b) - first(a));
  choose('answers', kinds, (name) => names[name]);
  find('filters-dates').hidden = !dates;
  find('filters-seconds').hidden = !seconds;
  if (seconds) {
    field('seconds_from').placeholder = clock(seconds[0]);
    field('seconds_to').placeholder = clock(Math.ceil(seconds[1]));
  }
  for (const name of FIELDS) judge(field(name));
  countSet();
  if (!find('filters-wrong').hidden) complain();
}

/** Fills a list; the first value stands where nothing is chosen. */
function choose(name, values, nameOf) {
  const select = field(name);
  const chosen = values.includes(select.value) ? select.value : values[0];
  select.closest('label').hidden = values.length < 2;
  select.replaceChildren(
    ...values.map((value) =>
      make('option', {value, textContent: nameOf(value)}),
    ),
  );
  select.value = chosen;
}

/** Whether the filters can be used; else shows what is wrong. */
export function check() {
  if (form().checkValidity()) return true;
  find('filters').open = true;
  complain();
  form().reportValidity(); // It takes the focus to the field.
  return false;
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

/** Says what is wrong with a field, if something is. */
function judge({name, value}) {
  let wrong = '';
  if (name.startsWith('seconds') && value.trim()) {
    if (Number.isNaN(seconds(value))) wrong = say('filters.length');
  } else if (name.startsWith('date') && value.startsWith('0')) {
    wrong = say('filters.year');
  }
  field(name).setCustomValidity(wrong);
}

/** Says beside the fields what is wrong; the focus stays where it is. */
function complain() {
  const wrong = FIELDS.map(field).filter((it) => !it.validity.valid);
  for (const name of FIELDS) {
    field(name).ariaInvalid = String(wrong.includes(field(name)));
  }
  show(find('filters-wrong'), wrong[0]?.validationMessage ?? '');
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
