/**
 * Where a voice is in a recording.
 *
 * Whoever records waits a moment before the first word and after the last one.
 * Models learn from recordings without such pauses, and silence around a word
 * changes its vector more than the word does: it has to go.
 */

const FRAME = 0.02; // seconds
const MARGIN = 0.12; // seconds that stay before and behind the voice
const STEADY = 4; // loud frames in a row; a click of the button has fewer
const LOUD = 8; // the eighth loudest frame is of the voice, not of clicks
const ABOVE = 8; // dB above the noise, from which a frame is loud
const WEAKEST = 40; // dB below the loud frames, likewise
const STRONGEST = 10;
const NOTHING = 1e-5; // loudness of digital silence

/**
 * The part of a recording that has the voice.
 *
 * @param {Float32Array} samples from -1 to 1
 * @param {number} rate samples a second
 * @returns {Float32Array} all of them, if no voice is found
 */
export function trim(samples, rate) {
  const length = Math.round(FRAME * rate);
  const levels = loudness(samples, length);
  const limit = threshold(levels);
  const isVoice = (_, i) =>
    i + STEADY <= levels.length &&
    levels.slice(i, i + STEADY).every((level) => level > limit);
  const first = levels.findIndex(isVoice);
  if (first < 0) return samples;
  const last = levels.findLastIndex(isVoice) + STEADY;
  const margin = Math.round(MARGIN * rate);
  const start = Math.max(0, first * length - margin);
  return samples.subarray(start, last * length + margin);
}

/** Loudness of each whole frame, dB. */
function loudness(samples, length) {
  return Array.from({length: Math.floor(samples.length / length)}, (_, i) => {
    let power = 0;
    for (const sample of samples.subarray(i * length, (i + 1) * length)) {
      power += sample * sample;
    }
    return 20 * Math.log10(Math.max(NOTHING, Math.sqrt(power / length)));
  });
}

/** What is louder than this is voice, dB. */
function threshold(levels) {
  const sorted = [...levels].sort((a, b) => a - b);
  const noise = sorted[Math.floor(sorted.length / 10)];
  const loud = sorted.at(-Math.min(LOUD, sorted.length));
  const limit = Math.max(noise + ABOVE, loud - WEAKEST);
  return Math.min(limit, loud - STRONGEST);
}
