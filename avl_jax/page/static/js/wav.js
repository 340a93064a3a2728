/** Sound as a WAV file: 16 bits, one channel, which every server decodes. */

const HEADER = 44; // bytes

/**
 * A WAV file.
 *
 * @param {Float32Array} samples from -1 to 1
 * @param {number} rate samples a second
 * @returns {Blob}
 */
export function encode(samples, rate) {
  const view = new DataView(new ArrayBuffer(HEADER + 2 * samples.length));
  writeHeader(view, samples.length, rate);
  samples.forEach((sample, i) => {
    const limited = Math.max(-1, Math.min(1, sample));
    view.setInt16(HEADER + 2 * i, Math.round(limited * 0x7fff), true);
  });
  return new Blob([view.buffer], {type: 'audio/wav'});
}

function writeHeader(view, count, rate) {
  const word = (at, text) =>
    [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  word(0, 'RIFF');
  view.setUint32(4, HEADER - 8 + 2 * count, true);
  word(8, 'WAVEfmt ');
  view.setUint32(16, 16, true); // bytes of the format
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes a second
  view.setUint16(32, 2, true); // bytes of a sample of all channels
  view.setUint16(34, 16, true); // bits of a sample
  word(36, 'data');
  view.setUint32(40, 2 * count, true);
}
