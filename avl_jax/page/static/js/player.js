/**
 * The screen of an answer: the picture of a moment, and a player from there.
 *
 * What the browser cannot play itself, the server cuts and converts: a clip.
 * What cannot be converted is shown as stills. If one way fails, the player
 * takes the next one and says so.
 */

import * as api from './api.js';
import {make} from './elements.js';
import * as screens from './screens.js';
import {clock, say} from './texts.js';

const PIECE = 20; // seconds that are converted when one seeks out of a clip
const WAYS = {
  native: ['native', 'clip', 'stills'],
  transcoded: ['clip', 'stills'],
  stills: ['stills'],
};

// One thing plays at a time.
document.addEventListener(
  'play',
  ({target}) => {
    for (const other of document.querySelectorAll('video, audio')) {
      if (other !== target) other.pause();
    }
  },
  true,
);

export class Player {
  #ways;
  #element = null;
  #wanted; // second to play from
  #piece = {from: 0, to: Infinity}; // seconds of the file that are loaded

  /**
   * Shows the picture of a moment.
   *
   * @param {HTMLElement} screen that gets it
   * @param {object} media file, name, kind, plays, duration and missing
   * @param {object} span start, end and at: seconds of the file
   * @param {function(number)} onTime called with the second that plays
   */
  constructor(screen, media, {start, end, at}, onTime = () => {}) {
    Object.assign(this, {screen, media, start, end, at, onTime});
    this.#ways = [...(WAYS[media.plays] ?? WAYS.stills)];
    this.#wanted = at;
    screen.append(this.#first());
  }

  /** What is shown before anything plays. */
  #first() {
    const {media, at} = this;
    if (media.missing) return screens.blank('missing', say('card.missing'));
    if (media.kind === 'picture') return screens.picture(media);
    return screens.poster(media, at, () => this.play());
  }

  /** Whether there is something to play. */
  get plays() {
    return !this.media.missing && this.media.kind !== 'picture';
  }

  /** The second of the file that plays, or would. */
  get now() {
    if (!this.#element) return this.#wanted;
    return this.#piece.from + this.#element.currentTime;
  }

  /** Plays from a second of the file. */
  play(seconds = this.now) {
    if (!this.plays) return;
    this.#wanted = seconds;
    const {from, to} = this.#piece;
    if (this.#element && seconds >= from && seconds < to) {
      this.#element.currentTime = seconds - from;
      this.#start();
    } else {
      this.#open();
    }
  }

  /** Loads the player at its moment, without playing. */
  load() {
    if (this.plays) this.#open(false);
  }

  /** Opens what the current way plays. */
  #open(starts = true) {
    const way = this.#ways[0];
    this.#note('');
    if (way === 'stills') {
      this.#showStills();
      return;
    }
    const element = make(this.media.kind === 'sound' ? 'audio' : 'video', {
      controls: true,
      preload: 'auto',
      playsInline: true,
    });
    const address = this.#address(way);
    element.setAttribute('aria-label', this.media.name);
    const on = (type, act) => {
      element.addEventListener(type, () => {
        if (element === this.#element) act(); // Else another one has come.
      });
    };
    on('timeupdate', () => this.onTime(this.now));
    on('seeked', () => this.onTime(this.now));
    on('loadedmetadata', () => this.#loaded(element, way));
    on('error', () => this.#failed(element, address));
    on('ended', () => this.#offerMore(way));
    if (way === 'clip') on('canplay', () => this.#note(''));
    element.src = address;
    element.classList.add('is-seeking');
    if (this.media.kind === 'video') this.#showBehind();
    this.#put(element);
    if (way === 'clip') this.#note(say('player.converting'));
    if (starts) this.#start();
  }

  #address(way) {
    const {file, duration} = this.media;
    const seconds = this.#wanted;
    if (way === 'native') {
      this.#piece = {from: 0, to: Infinity};
      return `${api.fileUrl(file)}#t=${seconds.toFixed(2)}`;
    }
    const end = api.clipEnd(this.start, this.end);
    const isIn = seconds >= this.start && seconds < end;
    const from = isIn ? this.start : seconds;
    const to = Math.min(isIn ? end : seconds + PIECE, duration ?? Infinity);
    this.#piece = {from, to};
    const at = (seconds - from).toFixed(2);
    return `${api.clipUrl(file, from, to)}#t=${at}`;
  }

  /** Shows the moment until the player has found it. */
  #showBehind() {
    const address = screens.address(this.media, this.#wanted);
    this.screen.style.backgroundImage = `url("${address}")`;
  }

  #put(element) {
    const hadFocus = this.screen.contains(document.activeElement);
    this.#element?.removeAttribute('src');
    this.#element?.load(); // Ends the download of the one before.
    this.#element = element;
    this.screen.replaceChildren(element);
    element.tabIndex = 0;
    if (hadFocus) element.focus({preventScroll: true});
  }

  /** Seeks, where the browser did not obey the address; looks for a picture. */
  #loaded(element, way) {
    const isVideo = this.media.kind === 'video';
    if (way === 'native' && isVideo && !element.videoWidth) {
      this.#failed(element, '');
      return;
    }
    const seconds = this.#wanted - this.#piece.from;
    if (Math.abs(element.currentTime - seconds) > 0.05) {
      element.currentTime = seconds;
    }
    const show = () => element.classList.remove('is-seeking');
    if (element.seeking) element.addEventListener('seeked', show, {once: true});
    else show();
  }

  #start() {
    this.#element.play().catch(() => {}); // The browser wants a click first.
  }

  /** Takes the next way to play. */
  async #failed(element, address) {
    const isPlaying = !element.paused;
    if (this.#ways.length > 1) this.#ways.shift();
    this.#open(isPlaying);
    const reason = address && (await api.whyNot(address));
    if (reason) this.#note(reason);
  }

  #showStills() {
    const {media, start, end} = this;
    const isSound = media.kind === 'sound';
    this.#element = null;
    this.screen.replaceChildren(
      isSound ? screens.blank('sound') : screens.stills(media, start, end),
    );
    this.#note(say(isSound ? 'player.none' : 'player.stills'));
  }

  /** After a clip: a button that goes on in the file. */
  #offerMore(way) {
    const {to} = this.#piece;
    const {duration} = this.media;
    if (way !== 'clip' || !duration || to >= duration - 0.5) return;
    const button = make('button', {type: 'button', className: 'quiet on'});
    button.textContent = say('player.more', {time: clock(to)});
    button.addEventListener('click', () => this.play(to));
    this.screen.append(button);
  }

  #note(text) {
    this.screen.querySelector('.screen-note')?.remove();
    if (!text) return;
    const note = make('p', {className: 'screen-note', textContent: text});
    note.setAttribute('role', 'status');
    this.screen.append(note);
  }
}
