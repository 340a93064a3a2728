/** The button that records, with its clock and its level. */

import {find, show} from './elements.js';
import {lack, Recording} from './recorder.js';
import {clock, say} from './texts.js';

const SILENCE = 0.004; // peak of a recording that holds no voice
const SHORTEST = 0.3; // seconds

let recording = null;
let isOpening = false;
let isWanted = false; // the recording that is being opened
let longest = 60; // seconds
let done = () => {};
let fail = () => {};
let frame = 0;

/**
 * Makes the button work.
 *
 * @param {function(Blob, number)} onDone called with a WAV file and its seconds
 * @param {function(string)} onError called with what is wrong
 */
export function setUp(onDone, onError) {
  done = onDone;
  fail = onError;
  find('record').addEventListener('click', toggle);
  find('discard').addEventListener('click', () => {
    discard();
    find('record').focus();
  });
}

/** Takes how many seconds a question may have. */
export function use(seconds) {
  longest = seconds ?? longest;
}

export const isRecording = () => recording !== null;

/** Begins a recording, or ends it and asks. */
export async function toggle() {
  if (recording) await finish();
  else if (!lack() && !isOpening) await begin();
}

async function begin() {
  isOpening = true;
  isWanted = true;
  try {
    const opened = await Recording.start(showLevel, finish);
    if (!isWanted) {
      opened.discard();
      return;
    }
    recording = opened;
  } catch (error) {
    fail(refusal(error));
    return;
  } finally {
    isOpening = false;
  }
  for (const medium of document.querySelectorAll('video, audio')) {
    medium.pause(); // Else it would be recorded.
  }
  rewrite();
  tick();
}

/** Why the browser gives no microphone. */
function refusal({name, message}) {
  if (name === 'NotAllowedError') return say('mic.denied');
  if (name === 'NotFoundError') return say('mic.absent');
  return say('mic.failed', {reason: message});
}

async function finish() {
  const ended = take();
  if (!ended) return;
  const {file, seconds} = await ended.stop();
  if (seconds < SHORTEST) fail(say('mic.short'));
  else if (ended.peak < SILENCE) fail(say('mic.silent'));
  else done(file, seconds);
}

/** Ends a recording without a question. */
export function discard() {
  isWanted = false;
  take()?.discard();
}

/** The recording, which is then no longer that of the button. */
function take() {
  const ended = recording;
  recording = null;
  cancelAnimationFrame(frame);
  rewrite();
  return ended;
}

function tick() {
  if (!recording) return;
  const {seconds} = recording;
  find('clock').textContent = clock(seconds);
  const left = Math.ceil(longest - seconds);
  find('left').textContent = left <= 10 ? say('mic.left', {n: left}) : '';
  if (seconds >= longest - 0.1) finish();
  else frame = requestAnimationFrame(tick);
}

function showLevel(loudness) {
  const decibels = 20 * Math.log10(Math.max(loudness, 1e-4));
  const part = Math.min(1, Math.max(0, (decibels + 60) / 54)); // -60 to -6 dB
  find('level').style.transform = `scaleX(${part.toFixed(3)})`;
}

/** Writes the button as the microphone is. */
export function rewrite() {
  const isOn = recording !== null;
  const missing = lack();
  const notes = {
    insecure: () => say('mic.insecure', {address: location.origin}),
    absent: () => say('mic.absent'),
    '': () => '',
  };
  show(find('no-microphone'), notes[missing]());
  find('record').disabled = Boolean(missing);
  find('record').classList.toggle('is-on', isOn);
  find('record-text').textContent = say(isOn ? 'ask.stop' : 'ask.record');
  const name = isOn ? '#sign-stop' : '#sign-microphone';
  find('record-sign').setAttribute('href', name);
  find('listening').hidden = !isOn;
}
