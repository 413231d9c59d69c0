// Making elements. Everything that comes from outside goes through textContent or a presentation attribute, never
// through markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element with a class, a text and children. */
export function el(tag, className = "", text = null, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== null) node.textContent = text;
  node.append(...children);
  return node;
}

/** An SVG element with attributes. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

export const byId = (id) => document.getElementById(id);

/** One colour a shopper, far from its neighbours' (golden angle); the lightness follows the theme. */
export function colourOf(number) {
  return `hsl(${(number * 137.508 + 172) % 360} 68% var(--light))`;
}

/** Cut in the middle: the ends of ids tell them apart. */
export function short(text, most = 16) {
  return text.length <= most ? text : `${text.slice(0, Math.ceil(most / 2) - 1)}…${text.slice(-(Math.floor(most / 2)))}`;
}
