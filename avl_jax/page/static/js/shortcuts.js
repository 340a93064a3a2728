/** Single keys; the help names them, and can switch them off. */

import {find} from './elements.js';
import * as kept from './kept.js';

const TYPED = 'input, select, textarea, [contenteditable]';

/**
 * Makes keys work.
 *
 * @param {object} actions key -> function that it calls
 */
export function setUp(actions) {
  const box = find('keys-on');
  box.checked = kept.get('keys') !== 'off';
  box.addEventListener('change', () => {
    kept.set('keys', box.checked ? 'on' : 'off');
  });
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (find('help').open) return; // The dialog has keys of its own.
    const isEscape = event.key === 'Escape';
    if (!isEscape && (!box.checked || event.target.closest(TYPED))) return;
    const action = actions[event.key.toLowerCase()];
    if (!action) return;
    if (!isEscape) event.preventDefault();
    action();
  });
  const help = find('help');
  find('help-open').addEventListener('click', () => help.showModal());
  find('help-close').addEventListener('click', () => help.close());
  help.addEventListener('click', (event) => {
    if (event.target === help) help.close(); // Beside it.
  });
}
