// @ts-check
// One example: what it is, how it was learned, what its label may be, and what stands near it.

import { button, draw, make } from "./elements.js";
import { classColours } from "./palette.js";
import { plainNumber, words } from "./values.js";

/** A sound's or a picture's element. @param {string} kind @param {string} url @param {string} name */
export function medium(kind, url, name) {
  if (kind === "audio") return make("audio", { controls: true, preload: "metadata", src: url, "aria-label": `Sound of ${name}` });
  return make("img", { src: url, alt: `Picture of ${name}`, class: "tm-picture", draggable: "false" });
}

/**
 * What an example is: pictures, sounds, text, columns.
 * @param {import("./state.js").State} state @param {number} row
 */
export async function exampleItself(state, row) {
  const one = await state.source.example(row);
  const box = make("div", { class: "tm-itself" });
  for (let place = 0; place < one.media.length; place++) {
    box.append(medium(one.media[place], await state.source.media(row, place), `example ${one.id}`));
  }
  if (one.text) box.append(make("p", { class: "tm-text", text: one.text, dir: "auto" }));
  if (one.fields.length) {
    const rows = one.fields.map(([name, value]) => make("tr", {}, make("th", { scope: "row", text: name }), make("td", { text: value, dir: "auto" })));
    box.append(make("table", { class: "tm-fields" }, make("tbody", {}, ...rows)));
  }
  if (one.error) box.append(make("p", { class: "tm-missing", text: one.error }));
  return { box, id: one.id, empty: !one.media.length && !one.text && !one.fields.length };
}

/** Label, suggestion, region: the sentence about an example. @param {import("./state.js").State} state @param {number} row */
export function verdict(state, row) {
  const { columns } = state;
  const parts = [make("span", { text: "Label " }), make("b", { text: state.className(columns.label[row]) })];
  if (columns.suggested && columns.suggested[row] >= 0) {
    const share = Number.isFinite(columns.support[row]) ? ` (in ${Math.round(100 * columns.support[row])} % of the epochs)` : "";
    const which = columns.suspected[row] ? "looks wrong; suggested " : "the network prefers ";
    parts.push(make("span", { text: ` · ${which}` }), make("b", { text: state.className(columns.suggested[row]) }), make("span", { text: share }));
  }
  parts.push(make("span", { text: ` · ${state.regionName(columns.region[row])}` }));
  return make("p", { class: "tm-verdict" }, ...parts);
}

const [WIDE, TALL] = [280, 44];

/** Two digits are enough beside a line. @param {number} value */
const brief = (value) => (Math.abs(value) < 1e-4 && value !== 0 ? value.toExponential(0) : plainNumber(Number(value.toPrecision(2))));

/** One signal as a line over the epochs. */
function line(/** @type {string} */ name, /** @type {(number | null)[]} */ values, /** @type {[number, number] | null} */ fixed, /** @type {number} */ epoch) {
  const known = /** @type {number[]} */ (values.filter((one) => one !== null));
  if (!known.length) return null;
  let [low, high] = fixed || [Math.min(...known), Math.max(...known)];
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const at = (/** @type {number} */ k) => (values.length === 1 ? WIDE / 2 : 4 + (k / (values.length - 1)) * (WIDE - 8));
  const up = (/** @type {number} */ v) => TALL - 4 - ((v - low) / (high - low)) * (TALL - 8);
  let path = "";
  let pen = "M";
  values.forEach((value, k) => {
    if (value === null) pen = "M";
    else {
      path += `${pen}${at(k).toFixed(1)} ${up(value).toFixed(1)}`;
      pen = "L";
    }
  });
  const marks = [draw("path", { d: path, class: "tm-line" })];
  const here = values[epoch - 1];
  if (here !== null && here !== undefined) marks.push(draw("path", { d: `M${at(epoch - 1)} ${up(here)}h0.01`, class: "tm-here" }));
  const ends = `from ${plainNumber(known[0])} to ${plainNumber(known[known.length - 1])}`;
  if (fixed === null && low < 0 && high > 0) marks.unshift(draw("line", { x1: 0, x2: WIDE, y1: up(0), y2: up(0), class: "tm-zero" }));
  const svg = draw("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, role: "img", "aria-label": `${name} over the epochs, ${ends}`, class: "tm-chart", preserveAspectRatio: "none" }, ...marks);
  return make("div", { class: "tm-signal" }, make("span", { class: "tm-signal-name", text: name }), svg, make("span", { class: "tm-signal-ends", text: `${brief(known[0])} → ${brief(known[known.length - 1])}` }));
}

/** The predicted classes as a ribbon, runs of epochs with one prediction. */
function ribbon(/** @type {import("./state.js").State} */ state, /** @type {(number | null)[]} */ predicted, /** @type {number} */ label) {
  const colours = classColours(state.header.classes);
  const runs = [];
  predicted.forEach((value, epoch) => {
    const last = runs[runs.length - 1];
    if (last && last.value === value) last.to = epoch;
    else runs.push({ value, from: epoch, to: epoch });
  });
  const strip = make("div", { class: "tm-ribbon" });
  const told = [];
  for (const run of runs) {
    const name = run.value === null ? "not seen" : state.className(run.value);
    const epochs = run.from === run.to ? `epoch ${run.from + 1}` : `epochs ${run.from + 1} to ${run.to + 1}`;
    told.push(`${name} in ${epochs}`);
    const cell = make("span", { class: run.value === label ? "tm-run tm-right" : "tm-run", title: `${name}, ${epochs}`, text: name.replace(/^class /, "") });
    cell.style.setProperty("flex-grow", String(run.to - run.from + 1));
    if (run.value !== null) cell.style.setProperty("--tm-run", colours[run.value]);
    strip.append(cell);
  }
  strip.setAttribute("role", "img");
  strip.setAttribute("aria-label", `Predicted: ${told.join(", ")}`);
  return make("div", { class: "tm-signal" }, make("span", { class: "tm-signal-name", text: "predicted" }), strip, make("span", { class: "tm-signal-ends" }));
}

/** How an example went. @param {import("./state.js").State} state @param {number} row @param {string} side */
export async function trajectoryOf(state, row, side = "first") {
  const found = await state.source.trajectory(row, side);
  const box = make("div", { class: "tm-trajectory" });
  const { epoch } = state.now;
  if (found.p_gold) box.append(line("p(label)", found.p_gold, [0, 1], epoch) || "");
  if (found.predicted) box.append(ribbon(state, found.predicted, state.labelOf(row)));
  if (found.loss) box.append(line("loss", found.loss, null, epoch) || "");
  if (found.margin) box.append(line("margin", found.margin, null, epoch) || "");
  return box;
}

/** The nearest on the map, by the two axes as they are drawn. @param {import("./state.js").State} state */
export function nearest(state, /** @type {number} */ row, count = 6) {
  const { now } = state;
  const side = now.side === "both" ? "first" : now.side;
  const [xs, ys] = [state.values(now.x, side), state.values(now.y, side)];
  const found = [];
  let worst = Infinity;
  for (const other of state.allKept()) {
    if (other === row) continue;
    const away = (xs[other] - xs[row]) ** 2 + (ys[other] - ys[row]) ** 2;
    if (!(away < worst)) continue;
    found.push({ other, away });
    if (found.length > 4 * count) {
      found.sort((a, b) => a.away - b.away).length = count;
      worst = found[count - 1].away;
    }
  }
  return found.sort((a, b) => a.away - b.away).slice(0, count).map((one) => one.other);
}

/** A small button that shows an example and pins it. */
export function thumbnail(/** @type {import("./state.js").State} */ state, /** @type {number} */ row, /** @type {(row: number) => void} */ press) {
  const label = state.className(state.labelOf(row));
  const inside = make("span", { class: "tm-thumb-inside" });
  const one = make("button", { type: "button", class: "tm-thumb", "data-row": row, on: { click: () => press(row) } }, inside, make("span", { class: "tm-thumb-label", text: label }));
  one.setAttribute("aria-label", `Example ${row}, label ${label}`);
  state.source.example(row).then(async (found) => {
    one.setAttribute("aria-label", `Example ${found.id}, label ${label}${found.text ? `: ${found.text.slice(0, 80)}` : ""}`);
    one.title = found.text || found.id;
    if (found.media.includes("image")) inside.append(make("img", { src: await state.source.thumb(row), alt: "", loading: "lazy" }));
    else {
      const values = found.fields.slice(0, 3).map(([name, value]) => `${name} ${value}`).join(", ");
      inside.append(make("span", { class: "tm-snippet", text: (found.text || values || found.id).slice(0, 120), dir: "auto" }));
    }
    if (found.media.includes("audio") && !found.media.includes("image")) inside.append(make("span", { text: "♪" }));
  }, () => inside.append(make("span", { class: "tm-snippet", text: `row ${row}` })));
  return one;
}

/** The panel of the example that is hovered or pinned. @param {import("./state.js").State} state */
export function examplePanel(state) {
  const { now, columns } = state;
  const element = make("div", { class: "tm-example" });
  let asked = 0;
  let shown = "";

  async function show(/** @type {number} */ row) {
    const pinned = row === now.pinned;
    const key = `${row} ${pinned} ${now.epoch} ${now.side}`;
    if (key === shown) return;
    shown = key;
    const number = ++asked;
    if (row < 0) {
      element.replaceChildren(make("p", { class: "tm-hint", text: "Point at a dot, or tap it, to see the example. Click it to keep it here, with how it was learned and what stands near it." }));
      return;
    }
    const sides = state.header.second && now.side !== "first" ? (now.side === "second" ? ["second"] : ["first", "second"]) : ["first"];
    const [itself, ...paths] = await Promise.all([exampleItself(state, row), ...sides.map((side) => trajectoryOf(state, row, side))]);
    if (number !== asked) return;
    const head = make("div", { class: "tm-example-head" }, make("h2", { text: itself.id, dir: "auto" }), pinned && button("Unpin", () => state.set({ pinned: -1 }), { class: "tm-quiet" }));
    const parts = [head, itself.box, verdict(state, row)];
    paths.forEach((path, k) => {
      if (sides.length > 1) parts.push(make("h3", { text: sides[k] === "second" ? state.header.second.name : state.header.first }));
      parts.push(path);
    });
    if (pinned) parts.push(scores(row), near(row));
    element.replaceChildren(...parts);
  }

  function scores(/** @type {number} */ row) {
    const rows = state.variables().map((/** @type {any} */ one) => {
      const cells = [make("th", { scope: "row", text: one.text, title: one.told }), make("td", { text: plainNumber(state.values(one.name, "first")[row]) })];
      if (state.header.second) cells.push(make("td", { text: columns[`other/${one.name}`] ? plainNumber(columns[`other/${one.name}`][row]) : "" }));
      return make("tr", {}, ...cells);
    });
    const head = state.header.second ? [make("thead", {}, make("tr", {}, make("th", { scope: "col", text: "score" }), make("th", { scope: "col", text: state.header.first }), make("th", { scope: "col", text: state.header.second.name })))] : [];
    return make("details", { class: "tm-section", open: true }, make("summary", { text: "Scores" }), make("table", { class: "tm-scores" }, ...head, make("tbody", {}, ...rows)));
  }

  function near(/** @type {number} */ row) {
    const found = nearest(state, row);
    const list = make("div", { class: "tm-near" }, ...found.map((other) => thumbnail(state, other, (one) => state.set({ pinned: one, hovered: one }))));
    return make("details", { class: "tm-section", open: true }, make("summary", { text: `Nearest on the map (${words(now.x)}, ${words(now.y)})` }), list);
  }

  state.on((changed) => {
    if (!["hovered", "pinned", "epoch", "side"].some((name) => changed.has(name))) return;
    if (changed.has("pinned")) shown = "";
    show(now.pinned >= 0 && now.hovered < 0 ? now.pinned : now.hovered >= 0 ? now.hovered : now.pinned);
  });
  show(-1);
  return { element, show };
}
