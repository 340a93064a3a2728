/** The page: asks, shows the answers, and keeps its parts together. */

import * as answers from './answers.js';
import * as api from './api.js';
import * as asking from './asking.js';
import {find, make} from './elements.js';
import * as filters from './filters.js';
import * as indexing from './indexing.js';
import * as moment from './moment.js';
import * as shortcuts from './shortcuts.js';
import * as texts from './texts.js';
import {number, say, sayCount} from './texts.js';
import * as voice from './voice.js';

const COUNT = 12; // answers, and how many more each time
const LATER = 5000; // milliseconds to another look for the server
const MOST = 96; // that the server gives
const LASTING = [401, 403, 421]; // refusals that another look does not change

let about = null;
let question = null;
let count = COUNT;
let running = null; // of the search, to cancel it

/** Asks a question, the answers to which replace those on the page. */
function ask(asked) {
  question = asked;
  count = COUNT;
  moment.close();
  answers.clear();
  search();
  find('answers').scrollIntoView({block: 'nearest'});
}

/** Forgets the question with its answers. */
function forget() {
  question = null;
  running?.abort();
  running = null;
  answers.clear();
  answers.setBusy(false);
  answers.setError('');
  find('status').textContent = '';
  find('empty').hidden = false;
  writeFacts();
}

async function search() {
  if (!question) return;
  running?.abort();
  if (!filters.check()) {
    running = null; // The question is asked when they have been mended.
    answers.setBusy(false);
    find('status').textContent = '';
    return;
  }
  running = new AbortController();
  const mine = running;
  answers.setError('');
  answers.setBusy(true);
  find('empty').hidden = true;
  try {
    const found = await api.search(fields(), mine.signal);
    if (mine === running) show(found);
  } catch (error) {
    if (mine === running) refuse(error);
  } finally {
    if (mine === running) answers.setBusy(false);
  }
}

/** The fields of the search, as the API names them. */
function fields() {
  const data = new FormData();
  const {kind, file, name, text, window, part} = question;
  if (file) data.set('file', file, kind === 'voice' ? 'question.wav' : name);
  if (text) data.set('text', text);
  if (window) data.set('window', window);
  if (part) data.set('part', part);
  data.set('k', count);
  data.set('threshold', answers.chosenThreshold());
  filters.write(data);
  return data;
}

function show(found) {
  const before = document.activeElement;
  answers.set(found);
  find('more').hidden = found.answers.length < count || count >= MOST;
  if (!before?.isConnected) find('answers').focus();
}

function refuse(error) {
  if (error.name === 'AbortError') {
    answers.clear();
    find('status').textContent = say('answers.cancelled');
  } else {
    answers.clear();
    if (error.status === 401) answers.setError(say('error.token'));
    else answers.setError(error.message, error.status ? 'en' : '');
  }
}

/** Says what is wrong where the answers would be; see `answers.setError`. */
function complain(text, language) {
  answers.setBusy(false);
  answers.setError(text, language);
  find('error').scrollIntoView({block: 'nearest'});
}

/** Asks the server what it has, and opens the moment of a link. */
async function load() {
  try {
    await describe();
    answers.setError('');
    answers.use(about);
    await moment.open(complain);
    indexing.watch(() => describe().catch(refuse));
  } catch (error) {
    refuse(error);
    if (!about && !LASTING.includes(error.status)) setTimeout(load, LATER);
  }
}

async function describe() {
  about = await api.about();
  api.limitClips(about.limits.clip_seconds);
  asking.use(about);
  filters.use(about);
  writeFacts();
}

/** Writes what depends on the language and is not of the page's file. */
function rewrite() {
  asking.rewrite();
  filters.rewrite();
  answers.rewrite();
  indexing.rewrite();
  moment.rewrite();
  writeFacts();
}

function writeFacts() {
  if (!question) find('empty').textContent = say('empty.start');
  if (!about) return;
  find('name').textContent = about.name;
  const {files, windows, hours} = about.index;
  find('facts').textContent = [
    sayCount('facts.files', files),
    sayCount('facts.windows', windows),
    hours < 1
      ? say('facts.minutes', {n: number(Math.ceil(60 * hours))})
      : say('facts.hours', {n: number(hours, hours < 10 ? 1 : 0)}),
  ].join(' · ');
  if (!files && !question) find('empty').textContent = say('empty.nothing');
}

async function chooseLanguage(tag) {
  await texts.speak(tag, true);
  rewrite();
}

function offerLanguages() {
  const select = find('tongue');
  const options = Object.entries(texts.LANGUAGES).map(([value, name]) =>
    make('option', {value, textContent: name, lang: value}),
  );
  select.append(...options);
  select.value = texts.preferred();
  select.addEventListener('change', () => chooseLanguage(select.value));
}

function escape() {
  if (voice.isRecording()) {
    voice.discard();
    find('record').focus();
  } else if (running) running.abort();
}

function setUp() {
  asking.setUp(ask, complain, forget);
  answers.setUp(asking.askLike);
  filters.setUp(search);
  find('more').addEventListener('click', () => {
    count += COUNT;
    search();
  });
  find('cancel').addEventListener('click', () => running?.abort());
  find('moment-close').addEventListener('click', moment.close);
  shortcuts.setUp({
    r: voice.toggle,
    f: () => find('file').click(),
    '/': () => find(about?.reads_text ? 'words-text' : 'file').focus(),
    j: () => answers.move(1),
    k: () => answers.move(-1),
    p: () => answers.current()?.player.play(),
    m: () => answers.current() && asking.askLike(answers.current().answer),
    '?': () => find('help').showModal(),
    escape,
  });
}

offerLanguages();
await texts.speak(texts.preferred());
setUp();
rewrite();
await load();
