/** The curve of where an answer fits: a bar for each second, to seek by. */

import {draw, make} from './elements.js';
import {clock, percent, say} from './texts.js';

const HEIGHT = 100;
const LEAST = 6; // height of the lowest bar

/**
 * Draws a curve; a slider for the keyboard and for readers of screens.
 *
 * @param {HTMLElement} place that gets it; emptied if there is no curve
 * @param {object} answer of the API
 * @param {function(number)} onSeek called with seconds of the file
 * @returns {function(number)} shows which second plays
 */
export function mount(place, answer, onSeek) {
  const points = (answer.curve ?? []).filter(([, score]) => score !== null);
  if (points.length < 2) {
    place.replaceChildren();
    return () => {};
  }
  const curve = new Curve(answer, points, onSeek);
  place.replaceChildren(curve.slider, curve.caption);
  return (seconds) => curve.move(seconds);
}

class Curve {
  constructor({name, start, end, best}, points, onSeek) {
    this.name = name;
    const scores = points.map(([, score]) => score);
    const [low, high] = [Math.min(...scores), Math.max(...scores)];
    this.start = start;
    this.end = Math.max(end, points.at(-1)[0] + 1);
    this.best = best;
    this.onSeek = onSeek;
    this.bars = points.map(([seconds, score]) => ({
      seconds,
      part: high > low ? (score - low) / (high - low) : 1,
    }));
    this.caption = make('p', {className: 'caption soft'});
    this.caption.textContent = say('curve.best', {time: clock(best)});
    this.slider = this.#slider();
    this.#say(best);
  }

  #slider() {
    this.head = draw('line', {class: 'head', y1: 0, y2: HEIGHT});
    this.head.style.display = 'none';
    const drawing = draw(
      'svg',
      {
        viewBox: `${this.start} 0 ${this.end - this.start} ${HEIGHT}`,
        preserveAspectRatio: 'none',
        'aria-hidden': 'true',
      },
      ...this.bars.map((bar) => this.#bar(bar)),
      this.head,
    );
    const slider = make('div', {className: 'slider', tabIndex: 0}, drawing);
    slider.setAttribute('role', 'slider');
    slider.setAttribute('aria-label', `${say('curve.label')}: ${this.name}`);
    slider.setAttribute('aria-valuemin', this.start);
    slider.setAttribute('aria-valuemax', this.end);
    slider.addEventListener('click', (event) => this.#click(event));
    slider.addEventListener('keydown', (event) => this.#key(event));
    return slider;
  }

  #bar({seconds, part}) {
    const height = LEAST + (HEIGHT - LEAST) * part;
    const isBest = Math.floor(seconds) === Math.floor(this.best);
    return draw('rect', {
      x: seconds + 0.06,
      width: 0.88,
      y: HEIGHT - height,
      height,
      class: isBest ? 'best' : '',
    });
  }

  #click(event) {
    const box = this.slider.getBoundingClientRect();
    const part = (event.clientX - box.left) / box.width;
    this.#seek(this.start + part * (this.end - this.start));
  }

  #key(event) {
    const now = this.now ?? this.best;
    const wanted = {
      ArrowRight: now + 1,
      ArrowUp: now + 1,
      ArrowLeft: now - 1,
      ArrowDown: now - 1,
      Home: this.start,
      End: this.end - 1,
      Enter: now,
      ' ': now,
    }[event.key];
    if (wanted === undefined) return;
    event.preventDefault();
    this.#seek(wanted);
  }

  #seek(seconds) {
    const within = Math.max(this.start, Math.min(this.end - 0.1, seconds));
    this.move(within);
    this.onSeek(within);
  }

  /** Shows which second plays. */
  move(seconds) {
    this.now = seconds;
    const isIn = seconds >= this.start && seconds <= this.end;
    this.head.style.display = isIn ? '' : 'none';
    this.head.setAttribute('x1', seconds);
    this.head.setAttribute('x2', seconds);
    if (isIn) this.#say(seconds);
  }

  #say(seconds) {
    const bar = this.bars.findLast((each) => each.seconds <= seconds);
    const part = percent((bar ?? this.bars[0]).part);
    const values = {time: clock(seconds), part, best: clock(this.best)};
    this.slider.setAttribute('aria-valuenow', seconds.toFixed(1));
    this.slider.setAttribute('aria-valuetext', say('curve.value', values));
  }
}
