/** In the audio thread: sends what the microphone hears, in pieces. */

const PIECE = 2048; // samples

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Float32Array(PIECE);
    this.filled = 0;
    this.ends = false;
    this.port.onmessage = () => {
      this.ends = true;
    };
  }

  /** Takes 128 samples; returns whether it wants more. */
  process([channels]) {
    if (channels.length) this.take(channels);
    if (!this.ends) return true;
    this.send();
    this.port.postMessage(null);
    return false;
  }

  /** Adds the mean of the channels. */
  take(channels) {
    for (let i = 0; i < channels[0].length; i += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.piece[this.filled] = sum / channels.length;
      this.filled += 1;
      if (this.filled === PIECE) this.send();
    }
  }

  send() {
    this.port.postMessage(this.piece.slice(0, this.filled));
    this.filled = 0;
  }
}

registerProcessor('capture', Capture);
