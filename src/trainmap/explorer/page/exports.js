// @ts-check
// What one takes along: a selection card, a relabel sheet, tables. A server writes beside the recording, a file downloads.

import { button, download, make } from "./elements.js";
import { counted } from "./values.js";

const RUN = /^'*[=+\-@\t\r\n＝＋－＠]/;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

/** A cell of a CSV file: text that a spreadsheet would run gets an apostrophe. @param {any} value */
export function csvCell(value) {
  let text = value === null || value === undefined ? "" : String(value);
  if (typeof value === "string" && RUN.test(text) && !NUMBER.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {any[][]} rows */
const csv = (rows) => `${rows.map((row) => row.map(csvCell).join(",")).join("\n")}\n`;

/** @param {import("./state.js").State} state @param {(text: string) => void} alarm */
export function exportPanel(state, alarm) {
  const { now, columns, source } = state;
  const said = make("p", { class: "tm-kept", role: "status" });
  const name = make("input", { type: "text", value: "chosen by hand in the explorer", "aria-label": "How they were chosen" });

  async function idsOf(/** @type {ArrayLike<number>} */ rows) {
    const out = [];
    for (let k = 0; k < rows.length; k += 1000) out.push(...(await source.ids(Array.prototype.slice.call(rows, k, k + 1000))));
    return out;
  }
  const tried = (/** @type {() => Promise<string>} */ work) => async () => {
    try {
      said.textContent = await work();
    } catch (why) {
      alarm(/** @type {Error} */ (why).message);
    }
  };
  const chosen = () => {
    if (!now.selected.length && !now.kept) throw new Error("Select examples first: draw around some with the lasso, or filter.");
    return state.rowsInView();
  };

  const card = tried(async () => {
    const rows = chosen();
    if (!source.exported) throw new Error("A file cannot write a card; download the ids, and: trainmap.Selection.of(datamap, ids, 'by hand').save('card.json')");
    const found = await source.exported("selection", { rows: Array.from(rows), spec: name.value });
    return `${found.path}: ${counted(found.examples)}`;
  });
  const sheet = tried(async () => {
    if (source.exported) {
      const found = await source.exported("sheet", {});
      return `${found.path}: ${counted(found.examples)}`;
    }
    const decided = [...now.decisions.values()].filter((one) => one.decision).sort((a, b) => a.row - b.row);
    if (!decided.length) throw new Error("Nothing was decided yet: review labels first.");
    const ids = await idsOf(decided.map((one) => one.row));
    const before = (/** @type {number} */ row) => (columns.label[row] < 0 ? "" : columns.label[row]);
    const rows = decided.map((one, k) => [ids[k], one.label ?? before(one.row), one.decision, before(one.row)]);
    download("relabel.csv", csv([["id", "label", "decision", "before"], ...rows]), "text/csv");
    return `relabel.csv: ${counted(decided.length)}`;
  });
  const table = tried(async () => {
    const rows = state.rowsInView();
    const names = state.variables().map((/** @type {any} */ one) => one.name);
    const ids = state.header.numbered ? rows : await idsOf(rows);
    const lines = [["id", "label", "class", "region", ...names, ...(columns.suggested ? ["suspected", "suggested"] : [])]];
    const values = names.map((/** @type {string} */ one) => state.values(one));
    rows.forEach((row, k) => {
      const cells = [ids[k], columns.label[row], state.className(columns.label[row]), state.regionName(columns.region[row])];
      for (const one of values) cells.push(Number.isNaN(one[row]) ? "" : one[row]);
      if (columns.suggested) cells.push(columns.suspected[row] === 1, columns.suggested[row] >= 0 ? columns.suggested[row] : "");
      lines.push(cells);
    });
    download("examples.csv", csv(lines), "text/csv");
    return `examples.csv: ${counted(rows.length)}`;
  });

  const count = make("b");
  const tell = () => {
    count.textContent = now.selected.length ? counted(now.selected.length) : now.kept ? counted(now.kept.length) : "none yet";
  };
  state.on((changed) => (changed.has("selected") || changed.has("kept")) && tell());
  tell();
  const element = make("div", { class: "tm-export" },
    make("h3", { text: "Selection" }), make("p", {}, "Selected or kept by the filters: ", count),
    make("label", { class: "tm-field" }, make("span", { text: "How" }), name),
    button("Save as a selection card", card), 
    make("h3", { text: "Labels" }), make("p", { text: "Your decisions as a sheet of ids and labels, as datasets and grids read it." }), button("Save the relabel sheet", sheet),
    make("h3", { text: "Table" }), make("p", { text: "What is shown, with all scores." }), button("Download CSV", table), said);
  return { element };
}
