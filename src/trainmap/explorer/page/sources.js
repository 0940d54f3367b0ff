// @ts-check
// Where the page's answers come from: a server, the file itself, or a notebook's kernel. All answer alike.

import { columnOf, fromBase64 } from "./values.js";

/**
 * @typedef {{confidence: Float32Array, variability: Float32Array, predicted: Int32Array}} Frame
 * @typedef {{id: string, text: string, fields: [string, string][], media: string[], error: string}} Example
 * @typedef {{row: number, decision: string | null, label: number | null}} Decision
 * @typedef {Object} Source
 * @property {string} kind
 * @property {() => Promise<any>} header
 * @property {(name: string, type: string) => Promise<import("./values.js").Column>} column
 * @property {(epochs: number, side: string) => Promise<Frame>} frame
 * @property {(rows: number[]) => Promise<string[]>} ids
 * @property {(row: number) => Promise<Example>} example
 * @property {(row: number, place: number) => Promise<string>} media
 * @property {(row: number) => Promise<string>} thumb
 * @property {(row: number, side: string) => Promise<any>} trajectory
 * @property {(text: string) => Promise<Uint32Array>} find
 * @property {() => Promise<Decision[]>} decisions
 * @property {(decision: Decision) => Promise<void>} decide
 * @property {((kind: string, body: any) => Promise<{path: string, examples: number}>) | null} exported
 */

/** @param {ArrayBuffer} buffer */
const parsed = (buffer) => JSON.parse(new TextDecoder().decode(buffer));

/**
 * A source that asks somebody: `ask(path, body)` gives the bytes and their type.
 * @param {string} kind
 * @param {(path: string, body?: any) => Promise<{buffer: ArrayBuffer, type: string}>} ask
 * @param {((path: string) => string) | null} address the URL of a medium, where there is one
 * @returns {Source}
 */
export function askedSource(kind, ask, address) {
  const json = async (/** @type {string} */ path, /** @type {any} */ body = undefined) => parsed((await ask(path, body)).buffer);
  const url = async (/** @type {string} */ path) => {
    if (address) return address(path);
    const { buffer, type } = await ask(path);
    return URL.createObjectURL(new Blob([buffer], { type }));
  };
  return {
    kind,
    header: () => json("header"),
    column: async (name, type) => columnOf((await ask(`column/${encodeURIComponent(name)}`)).buffer, type),
    frame: async (epochs, side) => framed((await ask(`frame/${epochs}?side=${side}`)).buffer),
    ids: (rows) => json(`ids?rows=${rows.join(",")}`),
    example: (row) => json(`example/${row}`),
    media: (row, place) => url(`media/${row}/${place}`),
    thumb: (row) => url(`thumb/${row}`),
    trajectory: (row, side) => json(`trajectory/${row}?side=${side}`),
    find: async (text) => new Uint32Array((await ask(`find?text=${encodeURIComponent(text)}`)).buffer),
    decisions: () => json("review"),
    decide: (decision) => json("review", decision),
    exported: (kind, body) => json(`export/${kind}`, body),
  };
}

/** @param {ArrayBuffer} buffer @returns {Frame} */
function framed(buffer) {
  const n = buffer.byteLength / 12;
  return {
    confidence: new Float32Array(buffer, 0, n),
    variability: new Float32Array(buffer, 4 * n, n),
    predicted: new Int32Array(buffer, 8 * n, n),
  };
}

/** The questions of a served page. */
export function servedSource() {
  const address = (/** @type {string} */ path) => new URL(`ask/${path}`, document.baseURI).href;
  return askedSource(
    "served",
    async (path, body) => {
      const how = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
      const answer = await fetch(address(path), body === undefined ? {} : how);
      if (!answer.ok) throw new Error(await answer.text());
      return { buffer: await answer.arrayBuffer(), type: answer.headers.get("Content-Type") || "" };
    },
    address,
  );
}

/**
 * The questions of a notebook: messages to the kernel, each with a number that its answer repeats.
 * @param {any} model
 */
export function notebookSource(model) {
  /** @type {Map<number, {resolve: (value: any) => void, reject: (why: Error) => void}>} */
  const waiting = new Map();
  let number = 0;
  model.on("msg:custom", (/** @type {any} */ message, /** @type {DataView[]} */ buffers) => {
    const one = waiting.get(message.number);
    if (!one) return;
    waiting.delete(message.number);
    if (message.error) one.reject(new Error(message.error));
    else {
      const view = buffers[0];
      const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice();
      one.resolve({ buffer: bytes.buffer, type: message.type });
    }
  });
  return askedSource(
    "notebook",
    (path, body) =>
      new Promise((resolve, reject) => {
        number += 1;
        waiting.set(number, { resolve, reject });
        model.send({ number, path, body: body === undefined ? null : body });
      }),
    null,
  );
}

/**
 * What stands in the file itself; decisions go to the browser's own store.
 * @param {Document} page
 * @returns {Source}
 */
export function embeddedSource(page) {
  const text = (/** @type {string} */ name) => page.getElementById(`tm-${name}`)?.textContent || "";
  const about = JSON.parse(text("about"));
  const examples = new Map(JSON.parse(text("examples") || "[]").map((/** @type {any} */ one) => [one.row, one]));
  const ids = JSON.parse(text("ids") || "null");
  const n = about.header.examples;
  const key = `trainmap-review:${about.dataset}`;
  const idOf = (/** @type {number} */ row) => (ids === null ? String(row) : ids[row]);
  /** @type {Map<string, import("./values.js").Column>} */
  const columns = new Map();
  const column = (/** @type {string} */ name, /** @type {string} */ type) => {
    let found = columns.get(name);
    if (!found) {
      const place = about.places.indexOf(name);
      found = columnOf(fromBase64(text(`column-${place}`)), type);
      columns.set(name, found);
    }
    return found;
  };
  const signal = (/** @type {string} */ side, /** @type {string} */ name) => {
    const type = about.signals[side]?.[name];
    return type ? column(`${side}:${name}`, type) : null;
  };
  /** @returns {Decision[]} */
  const kept = () => {
    try {
      return JSON.parse(localStorage.getItem(key) || "[]");
    } catch {
      return [];
    }
  };
  const nothing = { text: "", fields: [], media: [], error: "This file holds no example here." };
  return {
    kind: "file",
    header: async () => about.header,
    column: async (name, type) => column(name, type),
    frame: async (epochs, side) => {
      const p = /** @type {Uint16Array} */ (signal(side, "p_gold"));
      return replayed(p, signal(side, "predicted"), n, epochs);
    },
    ids: async (rows) => rows.map(idOf),
    example: async (row) => ({ ...nothing, ...(examples.get(row) || {}), id: idOf(row) }),
    media: async (row, place) => examples.get(row)?.urls?.[place] || "",
    thumb: async (row) => examples.get(row)?.urls?.[0] || "",
    trajectory: async (row, side) => {
      /** @type {any} */
      const out = {};
      for (const name of ["p_gold", "loss", "margin", "predicted"]) {
        const values = signal(side, name);
        if (!values) continue;
        out[name] = [];
        for (let at = row; at < values.length; at += n) out[name].push(readBack(name, values[at]));
      }
      return out;
    },
    find: async (wanted) => {
      const low = wanted.toLowerCase();
      const rows = [];
      for (let row = 0; row < n; row++) {
        const inText = (examples.get(row)?.text || "").toLowerCase().includes(low);
        if (inText || idOf(row).toLowerCase().includes(low)) rows.push(row);
      }
      return Uint32Array.from(rows);
    },
    decisions: async () => kept(),
    decide: async (decision) => {
      const others = kept().filter((one) => one.row !== decision.row);
      localStorage.setItem(key, JSON.stringify(decision.decision ? [...others, decision] : others));
    },
    exported: null,
  };
}

const UNSEEN = 65535;

/** @param {string} name @param {number} value */
function readBack(name, value) {
  if (name === "p_gold") return value === UNSEEN ? null : value / (UNSEEN - 1);
  if (name === "predicted") return value < 0 ? null : value;
  return Number.isFinite(value) ? value : null;
}

/**
 * The map after so many epochs, from p(gold) in steps of 1 / 65534.
 * @param {Uint16Array} p @param {any} predicted @param {number} n @param {number} epochs
 */
function replayed(p, predicted, n, epochs) {
  const confidence = new Float32Array(n);
  const variability = new Float32Array(n);
  for (let row = 0; row < n; row++) {
    let seen = 0;
    let mean = 0;
    let spread = 0;
    for (let epoch = 0; epoch < epochs; epoch++) {
      const step = p[epoch * n + row];
      if (step === UNSEEN) continue;
      const value = step / (UNSEEN - 1);
      seen += 1;
      const off = value - mean;
      mean += off / seen;
      spread += off * (value - mean);
    }
    confidence[row] = seen ? mean : NaN;
    variability[row] = seen ? Math.sqrt(spread / seen) : NaN;
  }
  const last = (epochs - 1) * n;
  const guess = predicted ? Int32Array.from(predicted.subarray(last, last + n)) : new Int32Array(n).fill(-1);
  return { confidence, variability, predicted: guess };
}
