/** Sound as a WAV file: 16 bits, one channel, which every server decodes. */

const HEADER = 44; // bytes

/**
 * A WAV file.
 *
 * @param {Float32Array[]} pieces samples from -1 to 1, one after the other
 * @param {number} rate samples a second
 * @returns {Blob}
 */
export function encode(pieces, rate) {
  const count = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const view = new DataView(new ArrayBuffer(HEADER + 2 * count));
  writeHeader(view, count, rate);
  let at = HEADER;
  for (const piece of pieces) {
    for (const sample of piece) {
      const limited = Math.max(-1, Math.min(1, sample));
      view.setInt16(at, Math.round(limited * 0x7fff), true);
      at += 2;
    }
  }
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
