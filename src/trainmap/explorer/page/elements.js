// @ts-check
// Elements made by hand. What a dataset holds goes in as text and never as HTML: nothing here takes HTML.

/**
 * @param {string} tag
 * @param {Record<string, any>} [how] attributes; `text`, `on` (listeners), `style` (by property)
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {any}
 */
export function make(tag, how = {}, ...children) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(how)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") one.textContent = value;
    else if (name === "on") for (const [event, listen] of Object.entries(value)) one.addEventListener(event, listen);
    else if (name === "style") for (const [key, to] of Object.entries(value)) one.style.setProperty(key, to);
    else one.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child) one.append(child);
  return one;
}

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} tag @param {Record<string, any>} how @param {...Node} children @returns {any} */
export function draw(tag, how = {}, ...children) {
  const one = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(how)) {
    if (name === "text") one.textContent = value;
    else one.setAttribute(name, String(value));
  }
  one.append(...children);
  return one;
}

/** A list to choose from. @param {string} label @param {[string, string][]} options @param {string} value */
export function chooser(label, options, value, /** @type {(value: string) => void} */ choose) {
  const list = make("select", { "aria-label": label, on: { change: () => choose(list.value) } });
  for (const [key, text] of options) list.append(make("option", { value: key, text }));
  list.value = value;
  return list;
}

/** @param {string} text @param {() => void} press @param {Record<string, any>} [how] */
export function button(text, press, how = {}) {
  return make("button", { type: "button", text, on: { click: press }, ...how });
}

/** Hand a file to the person. @param {string} name @param {string} content @param {string} type */
export function download(name, content, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = make("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** At most once a frame. @param {() => void} work */
export function onceAFrame(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      work();
    });
  };
}
