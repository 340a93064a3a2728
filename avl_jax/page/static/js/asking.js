/** How a question is asked: a file, words, or the voice (`voice.js`). */

import {find, make, show} from './elements.js';
import {clock, number, say} from './texts.js';
import * as voice from './voice.js';

const MEGA = 2 ** 20;

let about = null;
let send = () => {};
let fail = () => {};
let forget = () => {};
let asked = null;
let address = ''; // of the medium that is shown, in the browser's memory

/**
 * Makes the ways to ask work.
 *
 * @param {function(object)} onAsk called with a question: its kind ('voice',
 *   'file', 'words' or 'like'), name, and file, text or window
 * @param {function(string)} onError called with what is wrong
 * @param {function()} onForget called when no question is asked any more
 */
export function setUp(onAsk, onError, onForget) {
  send = onAsk;
  fail = onError;
  forget = onForget;
  voice.setUp(askVoice, onError);
  find('file').addEventListener('change', ({target}) => {
    if (target.files.length) askFile(target.files[0]);
    target.value = ''; // The same file may be chosen again.
  });
  find('words').addEventListener('submit', (event) => {
    event.preventDefault();
    const text = find('words-text').value.trim();
    if (text) ask({kind: 'words', name: text, text});
  });
  find('part-choice').addEventListener('change', ({target}) => {
    ask({...asked, part: target.value});
  });
  find('again').addEventListener('click', again);
  takeDropped();
}

/** Takes what the server can do. */
export function use(description) {
  about = description;
  voice.use(description.limits.question_seconds);
  find('words').hidden = !description.reads_text;
}

/** Writes the texts that are not of the page's file. */
export function rewrite() {
  voice.rewrite();
  if (asked) describe();
}

/** Asks for windows that are like one of an answer. */
export function askLike({window, name, start, end}) {
  const span = end > start ? ` ${clock(start)}–${clock(end)}` : '';
  ask({kind: 'like', name: name + span, window});
}

export function askFile(file) {
  const limit = about?.limits.upload_bytes;
  if (limit && file.size > limit) {
    const values = {
      name: file.name,
      size: number(file.size / MEGA, 1),
      limit: number(limit / MEGA, 1),
    };
    fail(say('error.large', values));
    return;
  }
  const part = file.type.startsWith('video/') ? 'picture' : '';
  ask({kind: 'file', name: file.name, file, part});
}

function askVoice(file, seconds) {
  ask({kind: 'voice', name: say('ask.recording'), file, seconds});
}

/** Asks; who asks otherwise gives up the recording that runs. */
function ask(question) {
  if (question.kind !== 'voice') voice.discard();
  asked = question;
  describe();
  send(question);
}

/** Shows what was asked, and plays it back. */
function describe() {
  const {kind, name, file, seconds, part} = asked;
  const texts = {
    voice: () => say('asked.voice', {time: clock(seconds)}),
    file: () => say('asked.file', {name}),
    words: () => say('asked.words', {name}),
    like: () => say('asked.like', {name}),
  };
  find('asked').hidden = false;
  find('asked-text').textContent = texts[kind]();
  find('part').hidden = !part;
  find('part-choice').value = part || 'picture';
  find('again').textContent = say(kind === 'voice' ? 'ask.again' : 'ask.clear');
  const media = find('asked-media');
  if (media.file === file && file) return; // It may be playing.
  URL.revokeObjectURL(address);
  media.file = file;
  media.replaceChildren(...(file ? [shown(file, name)] : []));
}

/** An element that shows a file of the reader's. */
function shown(file, name) {
  address = URL.createObjectURL(file);
  const kind = file.type.split('/')[0];
  const tag = {audio: 'audio', video: 'video', image: 'img'}[kind];
  if (!tag) return '';
  const element = make(tag, {src: address});
  element.addEventListener('error', () => element.remove());
  if (tag === 'img') element.alt = name;
  else element.controls = true;
  element.setAttribute('aria-label', name);
  return element;
}

/** Records anew after a recording; else forgets the question. */
function again() {
  if (asked.kind === 'voice') {
    voice.toggle();
    return;
  }
  asked = null;
  find('asked').hidden = true;
  find('asked-media').replaceChildren();
  find('asked-media').file = null;
  find('record').focus();
  forget();
}

/** Files may be dropped anywhere on the page, and pasted. */
function takeDropped() {
  const hasFile = (event) => event.dataTransfer?.types.includes('Files');
  const shade = (isOver) => {
    find('drop').hidden = !isOver;
  };
  document.addEventListener('dragover', (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    shade(true);
  });
  document.addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) shade(false);
  });
  document.addEventListener('drop', (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    shade(false);
    const [file] = event.dataTransfer.files;
    if (file) askFile(file); // A folder, or a picture of a page, is none.
  });
  document.addEventListener('paste', ({clipboardData}) => {
    if (clipboardData.files.length) askFile(clipboardData.files[0]);
  });
}
