// parts.js -- elements, kept as they are where nothing changed, and how numbers are written.
const words = new Intl.NumberFormat("en");

export const $ = (selector) => document.querySelector(selector);

/** 950, 9.5, 12.3 k, 4.0 M */
export function short(number) {
  if (number >= 1e9) return `${(number / 1e9).toFixed(1)} G`;
  if (number >= 1e6) return `${(number / 1e6).toFixed(1)} M`;
  if (number >= 1e4) return `${(number / 1e3).toFixed(1)} k`;
  return number >= 100 || Number.isInteger(number) ? words.format(Math.round(number)) : number.toFixed(1);
}

export const whole = (number) => words.format(number);

/** So much more a second than before; nothing is known of the first time. */
export function rate(now, past, seconds) {
  return past === undefined || !(seconds > 0) ? 0 : Math.max(0, now - past) / seconds;
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function put(node, text, kind = "") {
  if (node.textContent !== text) node.textContent = text;
  if (node.className !== kind) node.className = kind;
}

/** A number and its unit. */
export function figure(node, text, unit, kind = "") {
  if (node.dataset.shown !== `${text} ${unit}`) {
    node.replaceChildren(text, ...(unit ? [element("small", {}, unit)] : []));
    node.dataset.shown = `${text} ${unit}`;
  }
  node.className = kind;
}

/**
 * The children of a node are these items, in their order: one that was there under the same key
 * stays, with the focus it may have, and is brought up to date.
 */
export function keep(parent, items, keyOf, make, update) {
  const there = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = items.map((item) => {
    const key = keyOf(item);
    const child = there.get(key) ?? make(item);
    child.dataset.key = key;
    there.delete(key);
    update(child, item);
    return child;
  });
  for (const gone of there.values()) gone.remove();
  wanted.forEach((child, at) => {
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
}
