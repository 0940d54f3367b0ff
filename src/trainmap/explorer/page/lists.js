// @ts-check
// The selected examples side by side, or as rows of a table: what the map shows, for those who do not see it too.

import { thumbnail } from "./example_card.js";
import { button, chooser, make } from "./elements.js";
import { counted, plainNumber, words } from "./values.js";

/**
 * Rows by a variable; what has none comes last, and equals in the order of their rows.
 * @param {Uint32Array} rows @param {ArrayLike<number>} values @param {boolean} falling
 */
export function sorted(rows, values, falling) {
  const sign = falling ? -1 : 1;
  return Uint32Array.from(rows).sort((a, b) => {
    const [one, two] = [values[a], values[b]];
    if (one === two || (Number.isNaN(one) && Number.isNaN(two))) return a - b;
    if (Number.isNaN(one)) return 1;
    if (Number.isNaN(two)) return -1;
    return sign * (one < two ? -1 : 1);
  });
}

/**
 * A list that is sorted by any score and shown page by page.
 * @param {import("./state.js").State} state @param {string} start
 * @param {(rows: number[]) => Promise<Node[]>} page @param {number} size
 * @param {() => HTMLElement} frameOf
 */
function pagedList(state, start, page, size, frameOf) {
  const { now } = state;
  const options = state.variables().map((/** @type {any} */ one) => /** @type {[string, string]} */ ([one.name, one.text]));
  let [by, falling, at] = [start, start !== "confidence", 0];
  let stale = true;
  const order = chooser("Sort by", options, by, (value) => {
    by = value;
    turned(state.variables().find((/** @type {any} */ one) => one.name === value)?.hard !== "low");
  });
  const way = button(falling ? "highest first" : "lowest first", () => turned(!falling), { title: "Turn the order around" });
  /** From the hard end, until the person turns it. @param {boolean} to */
  function turned(to) {
    falling = to;
    way.textContent = falling ? "highest first" : "lowest first";
    at = 0;
    show();
  }
  const said = make("p", { class: "tm-kept", role: "status" });
  const holder = /** @type {any} */ (frameOf());
  const [before, after] = [button("‹ Previous", () => turn(-1)), button("Next ›", () => turn(1))];
  const element = make("div", { class: "tm-list" }, make("div", { class: "tm-list-head" }, make("label", { class: "tm-field" }, make("span", { text: "Sort by" }), order), way), said, holder, make("div", { class: "tm-pages" }, before, after));
  let asked = 0;

  const turn = (/** @type {number} */ by) => {
    at += by * size;
    show();
  };
  async function show() {
    stale = false;
    const number = ++asked;
    const rows = sorted(state.rowsInView(), state.values(by, now.side === "both" ? "first" : now.side), falling);
    at = Math.max(0, Math.min(at, Math.floor(Math.max(0, rows.length - 1) / size) * size));
    const here = Array.from(rows.subarray(at, at + size));
    const what = now.selected.length ? "selected" : now.kept ? "kept by the filters" : "on the map; draw around some with the lasso, or filter";
    said.textContent = rows.length ? `${at + 1} to ${at + here.length} of ${counted(rows.length)} ${what}` : "None.";
    [before.disabled, after.disabled] = [at === 0, at + size >= rows.length];
    const found = await page(here);
    if (number === asked) (holder.tBodies?.[0] || holder).replaceChildren(...found);
  }
  state.on((changed) => {
    if (!["selected", "kept", "side", "decisions"].some((name) => changed.has(name))) return;
    stale = true;
    if (!changed.has("decisions")) at = 0;
    if (element.offsetParent !== null) show();
  });
  return { element, shown: () => stale && show() };
}

/** @param {import("./state.js").State} state @param {(row: number) => void} open */
export function galleryPanel(state, open) {
  const start = state.header.second ? "moved" : "confidence";
  const page = async (/** @type {number[]} */ rows) => rows.map((row) => thumbnail(state, row, open));
  return pagedList(state, start, page, 60, () => make("div", { class: state.header.texts ? "tm-gallery tm-texts" : "tm-gallery" }));
}

/** @param {import("./state.js").State} state @param {(row: number) => void} open */
export function tablePanel(state, open) {
  const { columns } = state;
  const names = state.variables().map((/** @type {any} */ one) => one.name).filter((/** @type {string} */ one) => ["confidence", "variability", "aum", "forgetting", "suspicion", "moved"].includes(one));
  const heads = ["id", "label", "region", ...names.map(words), ...(columns.suggested ? ["suggested"] : [])];
  const page = async (/** @type {number[]} */ rows) => {
    const ids = rows.length ? await state.source.ids(rows) : [];
    return rows.map((row, k) => {
      const cells = [
        make("th", { scope: "row" }, button(ids[k], () => open(row), { class: "tm-link", dir: "auto" })),
        make("td", { text: state.className(columns.label[row]) }),
        make("td", { text: state.regionName(columns.region[row]) }),
        ...names.map((/** @type {string} */ name) => make("td", { class: "tm-number", text: plainNumber(state.values(name)[row]) })),
      ];
      if (columns.suggested) cells.push(make("td", { text: columns.suggested[row] >= 0 ? state.className(columns.suggested[row]) : "" }));
      return make("tr", {}, ...cells);
    });
  };
  const frame = () =>
    make("table", { class: "tm-table" }, make("caption", { text: "The examples of the map as rows" }), make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col", text })))), make("tbody"));
  return pagedList(state, "confidence", page, 50, frame);
}
