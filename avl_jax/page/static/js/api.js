/** Requests to the HTTP API; all addresses are relative to the page. */

import {say} from './texts.js';

const ROOT = new URL('./api/v1/', document.baseURI);

let longestClip = 60; // seconds

/** What the API refuses, in its own words. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The JSON of a response; throws ApiError with what the API says. */
async function read(address, options = {}) {
  let response;
  try {
    response = await fetch(new URL(address, ROOT), options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(say('error.unreachable'), 0);
  }
  if (response.ok) return response.json();
  throw new ApiError(await refusal(response), response.status);
}

/** What a response that is no success says. */
async function refusal(response) {
  try {
    return (await response.json()).error ?? say('error.unknown');
  } catch {
    return say('error.status', {status: response.status});
  }
}

export const about = () => read('about');
export const progress = async () => (await read('progress')).indexing;
export const fileAbout = (file) => read(`files/${part(file)}/about`);

/** Answers to a question: a FormData of the fields that the API names. */
export function search(fields, signal) {
  return read('search', {method: 'POST', body: fields, signal});
}

/** What the API says about an address that a player could not play; or ''. */
export async function whyNot(address) {
  const options = {headers: {Range: 'bytes=0-0'}};
  const response = await fetch(address, options).catch(() => null);
  return response && !response.ok ? refusal(response) : '';
}

export function fileUrl(file) {
  return new URL(`files/${part(file)}`, ROOT).href;
}

export function frameUrl(file, seconds, width) {
  const query = new URLSearchParams({t: seconds.toFixed(2), width});
  return new URL(`files/${part(file)}/frame?${query}`, ROOT).href;
}

/** Takes the seconds of the longest clip that the server cuts. */
export function limitClips(seconds) {
  longestClip = seconds;
}

/** The end of a clip from `start` on, which would be `end`. */
export const clipEnd = (start, end) => Math.min(end, start + longestClip);

export function clipUrl(file, start, end) {
  const query = new URLSearchParams({
    start: start.toFixed(2),
    end: clipEnd(start, end).toFixed(2),
  });
  return new URL(`files/${part(file)}/clip?${query}`, ROOT).href;
}

/** The address of the page that opens a moment of a file. */
export function momentUrl(file, seconds) {
  const address = new URL('./', document.baseURI);
  address.search = new URLSearchParams({file, t: seconds.toFixed(1)});
  return address.href;
}

const part = encodeURIComponent;
