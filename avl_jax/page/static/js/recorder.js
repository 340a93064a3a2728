/** The microphone. */

import {trim} from './trim.js';
import * as wav from './wav.js';

// The model hears recordings as they are, so the browser must not change them.
const SOUND = {
  channelCount: 1,
  echoCancellation: false,
  noiseSuppression: false,
  autoGainControl: false,
};

/** Why there is no microphone: 'insecure', 'absent' or ''. */
export function lack() {
  if (!window.isSecureContext) return 'insecure';
  const can = navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode;
  return can ? '' : 'absent';
}

/** A recording that runs. */
export class Recording {
  #pieces = [];
  #stream;
  #context;
  #node;
  #count = 0;

  /** The loudest sample, from 0 to 1. */
  peak = 0;

  /**
   * Asks for the microphone and begins.
   *
   * @param {function(number)} onLevel called with the loudness of each piece
   * @param {function()} onEnd called when the microphone goes away
   */
  static async start(onLevel, onEnd) {
    const recording = new Recording();
    await recording.#open(onLevel, onEnd);
    return recording;
  }

  async #open(onLevel, onEnd) {
    this.#stream = await navigator.mediaDevices.getUserMedia({audio: SOUND});
    try {
      this.#context = new AudioContext();
      const module = new URL('capture.js', import.meta.url);
      await this.#context.audioWorklet.addModule(module);
      this.#node = new AudioWorkletNode(this.#context, 'capture', {
        numberOfOutputs: 0,
      });
      this.#node.port.onmessage = ({data}) => this.#take(data, onLevel);
      this.#context.createMediaStreamSource(this.#stream).connect(this.#node);
      await this.#context.resume();
    } catch (error) {
      this.discard();
      throw error;
    }
    this.#stream.getAudioTracks()[0].addEventListener('ended', onEnd);
  }

  #take(piece, onLevel) {
    let [peak, power] = [0, 0];
    for (const sample of piece) {
      peak = Math.max(peak, Math.abs(sample));
      power += sample * sample;
    }
    this.peak = Math.max(this.peak, peak);
    this.#count += piece.length;
    this.#pieces.push(piece);
    onLevel(Math.sqrt(power / Math.max(1, piece.length)));
  }

  /** How long it has run. */
  get seconds() {
    return this.#count / this.#context.sampleRate;
  }

  /** Ends; returns the WAV file of what was said, and its seconds. */
  async stop() {
    const {port} = this.#node;
    await new Promise((resolve) => {
      const take = port.onmessage;
      port.onmessage = (event) => (event.data ? take(event) : resolve());
      port.postMessage('end');
      setTimeout(resolve, 500); // The audio thread may have ended before.
    });
    const rate = this.#context.sampleRate;
    const samples = trim(this.#joined(), rate);
    this.discard();
    return {file: wav.encode(samples, rate), seconds: samples.length / rate};
  }

  #joined() {
    const samples = new Float32Array(this.#count);
    let at = 0;
    for (const piece of this.#pieces) {
      samples.set(piece, at);
      at += piece.length;
    }
    return samples;
  }

  /** Ends without a file; the browser no longer shows that it listens. */
  discard() {
    this.#stream.getTracks().forEach((track) => track.stop());
    if (this.#context?.state !== 'closed') this.#context?.close();
  }
}
