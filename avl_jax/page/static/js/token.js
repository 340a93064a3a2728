/** The form that asks for the token: it keeps what the address says. */

import {find, make} from './elements.js';

const query = new URLSearchParams(location.search);

// The server leaves an empty token in place of a wrong one.
find('wrong').hidden = !query.has('token');
query.delete('token');
const inputs = [...query].map(([name, value]) =>
  make('input', {type: 'hidden', name, value}),
);
document.querySelector('form').append(...inputs);
