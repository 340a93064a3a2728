/** Short ways to make and find elements. */

const SVG = 'http://www.w3.org/2000/svg';

export const find = (id) => document.getElementById(id);

/** An element with properties, and what it contains. */
export function make(name, properties = {}, ...content) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...content);
  return element;
}

/** An element of a drawing, with attributes. */
export function draw(name, attributes = {}, ...content) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, value);
  }
  element.append(...content);
  return element;
}

/** One of the signs of the page, which a reader of screens skips. */
export function sign(name) {
  const use = draw('use', {href: `#sign-${name}`});
  return draw('svg', {class: 'sign', 'aria-hidden': 'true'}, use);
}

/** Shows a text in an element; without a text hides it. */
export function show(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

let waiting;

/** Says something short that soon goes away. */
export function toast(text) {
  const place = find('said');
  place.textContent = text;
  place.classList.add('is-shown');
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    place.classList.remove('is-shown');
    place.textContent = '';
  }, 4000);
}
