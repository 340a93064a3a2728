/** The answers as files: CSV for tables, JSON for programs, M3U for players. */

import * as api from './api.js';
import {make} from './elements.js';
import {clock} from './texts.js';

// Those of the API's table.
const COLUMNS = [
  ...['rank', 'file', 'name', 'folder', 'kind', 'start', 'end', 'best'],
  ...['score', 'share', 'share_here', 'fits', 'language', 'date', 'duration'],
  ...['missing', 'link'],
];
const TYPES = {
  csv: 'text/csv',
  json: 'application/json',
  m3u: 'audio/x-mpegurl',
};

/** Saves the answers as a file of a kind: 'csv', 'json' or 'm3u'. */
export function save(kind, found, fits) {
  const rows = found.answers.map((answer, i) => ({
    rank: i + 1,
    ...answer,
    fits: fits(answer),
    link: api.momentUrl(answer.file, answer.best ?? answer.start),
  }));
  const content = {csv, json, m3u}[kind](rows, found);
  const file = new Blob([content], {type: `${TYPES[kind]};charset=utf-8`});
  const link = make('a', {href: URL.createObjectURL(file)});
  link.download = `answers.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A table; the mark before it tells spreadsheets that it is Unicode. */
function csv(rows) {
  const lines = rows.map((row) => COLUMNS.map((name) => cell(row[name])));
  const all = [COLUMNS, ...lines].map((line) => `${line.join(',')}\r\n`);
  return `\ufeff${all.join('')}`;
}

/** A cell; a text that a spreadsheet would compute gets a mark before it. */
function cell(value) {
  if (value === null || value === undefined) return '';
  if (typeof value !== 'string') return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function json(rows, {question}) {
  return `${JSON.stringify({question, answers: rows}, null, 2)}\n`;
}

/** A list of the moments, cut by the server so that any player plays them. */
function m3u(rows) {
  const entries = rows
    .filter(({missing}) => !missing)
    .map(({file, name, kind, start, end}) => {
      const title = name.replace(/[\r\n]/g, ' ');
      const length = Math.round(end - start) || -1;
      const address =
        kind === 'picture' ? api.fileUrl(file) : api.clipUrl(file, start, end);
      return `#EXTINF:${length},${title} ${clock(start)}\n${address}`;
    });
  return ['#EXTM3U', ...entries, ''].join('\n');
}
