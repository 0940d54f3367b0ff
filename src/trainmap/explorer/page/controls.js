// @ts-check
// At the left: what stands on the axes, what the colours say, and what is looked at.

import { button, chooser, make } from "./elements.js";
import { counted, extentOf, plainNumber, words } from "./values.js";

const MOST_NAMED = 400;

/** @param {import("./state.js").State} state */
export function controls(state) {
  const { header, now, columns } = state;
  const variables = state.variables();
  const options = variables.map((/** @type {any} */ one) => /** @type {[string, string]} */ ([one.name, one.text]));
  /** @type {[string, string][]} */
  const colours = [["region", "region"], ["class", "class (label)"]];
  if (header.replay && header.signals.includes("predicted")) {
    colours.push(["outcome", "right or wrong, at the epoch"], ["predicted", "predicted class, at the epoch"]);
  }
  if (columns.suspected) colours.push(["suspected", "label looks wrong"], ["decision", "my decisions"]);
  for (const name of header.selections) colours.push([`card:${name}`, `selection: ${name}`]);
  colours.push(...options);

  const field = (/** @type {string} */ text, /** @type {HTMLElement} */ input) =>
    make("label", { class: "tm-field" }, make("span", { text }), input);

  const x = chooser("To the right", options, now.x, (value) => state.set({ x: value }));
  const y = chooser("Upwards", options, now.y, (value) => state.set({ y: value }));
  const colour = chooser("Colour", colours, now.colour, async (value) => {
    const needs = ["outcome", "predicted"].includes(value) && !now.frames.first;
    state.set({ colour: value, ...(needs ? { frames: await state.frame(now.epoch) } : {}) });
  });
  const legend = make("div", { class: "tm-legend" });
  const about = make("p", { class: "tm-about" });

  function explain() {
    const told = (/** @type {string} */ name) => variables.find((/** @type {any} */ one) => one.name === name)?.told;
    const lines = [
      "Each dot is one training example.",
      told(now.x) ? `To the right: ${told(now.x)}.` : "",
      told(now.y) ? `Upwards: ${told(now.y)}.` : "",
    ];
    about.textContent = now.side === "difference" ? "Each dot is one training example; where it stands says how far it moved from one recording to the other. Where the two lines cross: not at all." : lines.filter(Boolean).join(" ");
  }

  function showLegend() {
    const { rows, palette, continuous, low, high } = state.colouring(now.side === "second" ? "second" : "first");
    if (continuous) {
      const bar = make("div", { class: "tm-scale", "aria-hidden": "true" });
      bar.style.setProperty("background", `linear-gradient(to right, ${palette.filter((_, k) => k % 7 === 0).join(", ")})`);
      const hard = variables.find((/** @type {any} */ one) => one.name === now.colour)?.hard;
      const end = (/** @type {number} */ value, /** @type {string} */ which) =>
        make("span", { text: `${plainNumber(value)}${hard === which ? " (hard)" : ""}` });
      legend.replaceChildren(bar, make("div", { class: "tm-scale-ends" }, end(low, "low"), end(high, "high")));
      return;
    }
    const filtered = now.colour === "region" ? now.filters.regions : now.colour === "class" ? now.filters.classes : null;
    const list = make("ul", { class: "tm-legend-list" });
    for (const row of rows.slice(0, MOST_NAMED)) {
      const can = now.colour === "region" || (now.colour === "class" && row.value < header.classes);
      const on = !filtered || filtered.has(row.value);
      const swatch = make("span", { class: "tm-swatch", "aria-hidden": "true" });
      swatch.style.setProperty("background", row.colour);
      const inside = [
        swatch,
        make("span", { class: "tm-legend-name", text: row.key }),
        make("span", { class: "tm-count", text: row.count.toLocaleString("en") }),
        row.text && make("span", { class: "tm-legend-told", text: row.text }),
      ];
      const press = () => toggle(now.colour === "region" ? "regions" : "classes", row.value);
      const one = can
        ? make("button", { type: "button", "aria-pressed": String(on), class: on ? "" : "tm-off", on: { click: press }, title: "Show only this; press again for all" }, ...inside)
        : make("div", {}, ...inside);
      list.append(make("li", {}, one));
    }
    legend.replaceChildren(list);
  }

  function toggle(/** @type {"regions" | "classes"} */ name, /** @type {number} */ value) {
    const old = now.filters[name];
    const next = new Set(old || []);
    if (next.has(value)) next.delete(value);
    else next.add(value);
    state.filter({ [name]: next.size ? next : null });
  }

  // --- filters -----------------------------------------------------------------------------------------------------

  const classes = chooser(
    "Class",
    [["", "all classes"], ...Array.from({ length: Math.min(header.classes, 2000) }, (_, k) => /** @type {[string, string]} */ ([String(k), state.className(k)]))],
    "",
    (value) => state.filter({ classes: value === "" ? null : new Set([Number(value)]) }),
  );
  const regions = chooser(
    "Region",
    [["", "all regions"], ...[...header.regions, "in no region"].map((/** @type {string} */ name, /** @type {number} */ k) => /** @type {[string, string]} */ ([String(k), name]))],
    "",
    (value) => state.filter({ regions: value === "" ? null : new Set([Number(value)]) }),
  );
  const outcomes = /** @type {[string, string][]} */ ([["", "right and wrong"]]);
  if (header.replay && header.signals.includes("predicted")) outcomes.push(["right", "right at the epoch"], ["wrong", "wrong at the epoch"]);
  if (columns.suspected) outcomes.push(["suspected", "label looks wrong"]);
  const outcome = chooser("Outcome", outcomes, "", async (value) => {
    if (value && !now.frames.first && header.replay) state.set({ frames: await state.frame(now.epoch) });
    state.filter({ outcome: value });
  });
  const cards = chooser("Selection", [["", "all"], ...header.selections.map((/** @type {string} */ name) => [name, name])], "", (value) => state.filter({ card: value }));
  const low = make("input", { type: "number", step: "any", "aria-label": "From", placeholder: "from" });
  const high = make("input", { type: "number", step: "any", "aria-label": "To", placeholder: "to" });
  const score = chooser("Score", [["", "any score"], ...options], "", (value) => {
    low.value = high.value = "";
    if (value) {
      const [a, b] = extentOf(state.values(value));
      low.placeholder = plainNumber(a);
      high.placeholder = plainNumber(b);
    }
    range();
  });
  const range = () =>
    state.filter({
      score: score.value,
      low: low.value === "" ? -Infinity : Number(low.value),
      high: high.value === "" ? Infinity : Number(high.value),
    });
  low.addEventListener("change", range);
  high.addEventListener("change", range);
  const text = make("input", { type: "search", placeholder: header.texts ? "words in the text, or an id" : "an id, or part of it", "aria-label": "Text" });
  text.addEventListener("change", async () => {
    const wanted = text.value.trim();
    if (!wanted) return state.filter({ text: "", found: null });
    const found = new Uint8Array(state.n);
    for (const row of await state.source.find(wanted)) found[row] = 1;
    state.filter({ text: wanted, found });
  });
  const all = button("Clear filters", () => {
    for (const one of [classes, regions, outcome, cards, score, low, high, text]) one.value = "";
    state.filter({ classes: null, regions: null, outcome: "", card: "", score: "", low: -Infinity, high: Infinity, text: "", found: null });
  });
  const count = make("p", { class: "tm-kept", role: "status" });
  const tell = () => {
    count.textContent = now.kept ? `${now.kept.length.toLocaleString("en")} of ${counted(state.n)} shown` : "";
    all.hidden = !now.kept;
    const only = (/** @type {Set<number> | null} */ set) => (set && set.size === 1 ? String([...set][0]) : "");
    if (document.activeElement !== classes) classes.value = only(now.filters.classes);
    if (document.activeElement !== regions) regions.value = only(now.filters.regions);
  };

  const sides = header.second
    ? chooser(
        "Two recordings",
        [["first", header.first], ["second", header.second.name], ["both", "side by side"], ["difference", "what moved (difference)"]],
        "first",
        (value) => state.set({ side: value, ...(value === "difference" ? { colour: "moved" } : {}) }),
      )
    : null;

  state.on((changed) => {
    if (["colour", "kept", "frames", "side", "decisions", "dark"].some((name) => changed.has(name))) showLegend();
    if (changed.has("x") || changed.has("y") || changed.has("side")) explain();
    if (changed.has("kept")) tell();
    if (changed.has("colour")) colour.value = now.colour;
    if (changed.has("x")) x.value = now.x;
    if (changed.has("y")) y.value = now.y;
  });
  explain();
  showLegend();
  tell();

  const section = (/** @type {string} */ title, /** @type {any[]} */ ...inside) => {
    const one = make("details", { class: "tm-section", open: true }, make("summary", { text: title }), ...inside);
    return one;
  };
  const element = make(
    "div",
    { class: "tm-controls" },
    section("What you see", about, sides && field("Recording", sides), field("Right", x), field("Up", y), field("Colour", colour), legend),
    section(
      "Filter",
      field("Class", classes),
      field("Region", regions),
      outcomes.length > 1 && field("Outcome", outcome),
      header.selections.length > 0 && field("Selection", cards),
      field("Score", score),
      make("div", { class: "tm-range" }, low, make("span", { text: "to" }), high),
      field("Search", text),
      all,
      count,
    ),
  );
  return { element, redraw: showLegend };
}

/** Facts of the map in a line. @param {import("./state.js").State} state */
export function factsOf(state) {
  const { header } = state;
  const parts = [counted(header.examples), counted(header.classes, "class", "classes"), counted(header.epochs, "epoch")];
  if (header.data) parts.push(`data: ${header.data}`);
  return parts.join(" · ") + (header.unclear ? ` · no regions: ${header.unclear}` : "") + (header.rule === "corner" ? ` · regions by the ${words(header.rule)} rule` : "");
}
