/** Choices that the browser keeps for later visits, if it may. */

export function get(name) {
  try {
    return localStorage.getItem(`avl-jax ${name}`);
  } catch {
    return null; // The reader's browser keeps nothing.
  }
}

export function set(name, value) {
  try {
    localStorage.setItem(`avl-jax ${name}`, value);
  } catch {
    // The choice lasts as long as the page.
  }
}
