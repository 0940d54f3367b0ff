// @ts-check
// What the person is looking at, and what follows from it: values on the axes, colours, the rows that are kept.

import { CHOSEN, GREY, REGION_COLOURS, RIGHT_WRONG, classColours, scaleColours } from "./palette.js";
import { extentOf, words } from "./values.js";

/**
 * @typedef {{key: string, text: string, colour: string, count: number, value: number}} LegendRow
 * @typedef {{index: any, palette: string[], continuous: boolean, rows: LegendRow[], low: number, high: number}} Colouring
 */

const REGION_TOLD = [
  "the network was sure of these early and stayed so",
  "the network kept changing its mind",
  "the network hardly ever believed the label: look here for wrong ones",
  "between the regions",
];

/**
 * @param {any} header
 * @param {import("./sources.js").Source} source
 * @param {Record<string, import("./values.js").Column>} columns
 */
export function makeState(header, source, columns) {
  const n = header.examples;
  /** @type {Set<(changed: Set<string>) => void>} */
  const listeners = new Set();
  const now = {
    x: "variability",
    y: "confidence",
    colour: "region",
    epoch: header.epochs,
    side: "first",
    dark: false,
    filters: {
      classes: /** @type {Set<number> | null} */ (null),
      regions: /** @type {Set<number> | null} */ (null),
      card: "",
      outcome: "",
      score: "",
      low: -Infinity,
      high: Infinity,
      text: "",
      found: /** @type {Uint8Array | null} */ (null),
    },
    kept: /** @type {Uint32Array | null} */ (null),
    selected: /** @type {Uint32Array} */ (new Uint32Array(0)),
    pinned: -1,
    hovered: -1,
    /** @type {Record<string, import("./sources.js").Frame>} */
    frames: {},
    /** @type {Map<number, import("./sources.js").Decision>} */
    decisions: new Map(),
  };
  const state = {
    header,
    source,
    columns,
    n,
    now,
    on(/** @type {(changed: Set<string>) => void} */ listen) {
      listeners.add(listen);
    },
    /** Change some of it, and say what changed. @param {Partial<typeof now>} changes */
    set(changes) {
      Object.assign(now, changes);
      const changed = new Set(Object.keys(changes));
      if (changed.has("filters")) {
        now.kept = keptRows();
        changed.add("kept");
      }
      for (const listen of listeners) listen(changed);
    },
    filter(/** @type {Partial<typeof now.filters>} */ changes) {
      state.set({ filters: { ...now.filters, ...changes } });
    },
    className,
    regionName: (/** @type {number} */ region) => header.regions[region] || "in no region",
    labelOf: (/** @type {number} */ row) => columns.label[row],
    /** The names that can stand on an axis, with a line about each. */
    variables,
    values,
    colouring,
    /** All rows that are looked at: the selected ones, or those that the filters keep. */
    rowsInView: () => (now.selected.length ? now.selected : allKept()),
    allKept,
    frame,
    queue,
  };

  /** @param {number} label */
  function className(label) {
    if (label < 0) return "no label";
    return header.classNames[label] || `class ${label}`;
  }

  function variables() {
    const out = header.scores.map((/** @type {any} */ one) => ({ ...one, text: words(one.name) }));
    if (columns.suspicion) {
      out.push({ name: "suspicion", text: "suspicion", hard: "high", told: "how likely the label is wrong (audit)" });
    }
    if (header.second) {
      out.push({ name: "moved", text: "moved", hard: "", told: `distance on the map between the two recordings` });
    }
    return out;
  }

  /** @type {Float32Array | null} */
  let moved = null;

  /**
   * One value for each example: of the first recording, of the second, or second less first.
   * @param {string} name @param {string} side @returns {any}
   */
  function values(name, side = "first") {
    if (name === "moved") return (moved ||= distances());
    if (name === "suspicion") return columns.suspicion;
    if (side === "difference") {
      const [a, b] = [values(name, "first"), values(name, "second")];
      return Float32Array.from(a, (/** @type {number} */ one, /** @type {number} */ i) => b[i] - one);
    }
    const frame = now.epoch < header.epochs ? now.frames[side] : undefined;
    if (frame && name === "confidence") return frame.confidence;
    if (frame && name === "variability") return frame.variability;
    return columns[side === "second" ? `other/${name}` : `score/${name}`] || columns[`score/${name}`];
  }

  function distances() {
    const out = new Float32Array(n);
    const [c, v] = [columns["score/confidence"], columns["score/variability"]];
    const [d, w] = [columns["other/confidence"], columns["other/variability"]];
    for (let i = 0; i < n; i++) out[i] = Math.hypot(d[i] - c[i], w[i] - v[i]);
    return out;
  }

  /** Right 0, wrong 1, unknown 2, at the slider's epoch. */
  function outcomes(side = "first") {
    const frame = now.frames[side];
    const out = new Uint8Array(n).fill(2);
    if (!frame) return out;
    for (let i = 0; i < n; i++) {
      if (frame.predicted[i] >= 0 && columns.label[i] >= 0) out[i] = frame.predicted[i] === columns.label[i] ? 0 : 1;
    }
    return out;
  }

  /** @param {string} side @returns {Colouring} */
  function colouring(side = "first") {
    const colour = now.colour;
    if (colour === "region") {
      const names = [...header.regions, "in no region"];
      return grouped(columns.region, REGION_COLOURS, names, (k) => REGION_TOLD[k]);
    }
    if (colour === "class" || colour === "predicted") {
      const palette = [...classColours(header.classes), GREY];
      const labels = colour === "class" ? columns.label : now.frames[side]?.predicted || columns.label;
      const index = Uint16Array.from(labels, (/** @type {number} */ one) => (one < 0 ? header.classes : one));
      const names = palette.map((_, k) => (k < header.classes ? className(k) : "none"));
      return grouped(index, palette, names, () => "");
    }
    if (colour === "outcome") {
      return grouped(outcomes(side), RIGHT_WRONG, ["right", "wrong", "not known"], () => "");
    }
    if (colour.startsWith("card:")) {
      const index = Uint8Array.from(columns[`selection/${colour.slice(5)}`], (one) => (one ? 0 : 1));
      return grouped(index, CHOSEN, ["selected", "not selected"], () => "");
    }
    if (colour === "suspected") {
      const index = Uint8Array.from(columns.suspected, (one) => (one ? 0 : 1));
      return grouped(index, ["#d55e00", GREY], ["label looks wrong", "label looks right"], () => "");
    }
    if (colour === "decision") {
      const index = new Uint8Array(n).fill(4);
      const names = ["keep", "relabel", "drop", "unsure"];
      for (const [row, one] of now.decisions) index[row] = one.decision ? names.indexOf(one.decision) : 4;
      return grouped(index, ["#0072b2", "#e69f00", "#d55e00", "#cc79a7", GREY], [...names, "not reviewed"], () => "");
    }
    const numbers = values(colour, side === "difference" ? "first" : side);
    const [low, high] = extentOf(numbers);
    const index = Float32Array.from(numbers, (/** @type {number} */ one) => {
      if (Number.isNaN(one)) return 0;
      return Math.max(0, Math.min(1, (one - low) / (high - low || 1)));
    });
    return { index, palette: scaleColours(now.dark), continuous: true, rows: [], low, high };
  }

  /**
   * @param {any} index @param {string[]} palette @param {string[]} names @param {(k: number) => string} told
   * @returns {Colouring}
   */
  function grouped(index, palette, names, told) {
    const counts = new Uint32Array(palette.length);
    for (let i = 0; i < n; i++) counts[index[i]] += 1;
    const rows = names
      .map((name, k) => ({ key: name, text: told(k), colour: palette[k], count: counts[k], value: k }))
      .filter((one) => one.count > 0);
    return { index, palette, continuous: false, rows, low: 0, high: palette.length - 1 };
  }

  /** The rows that all filters keep; null for all. @returns {Uint32Array | null} */
  function keptRows() {
    const f = now.filters;
    const scored = f.score ? values(f.score, now.side === "second" ? "second" : "first") : null;
    if (!f.classes && !f.regions && !f.card && !f.outcome && !scored && !f.found) return null;
    const card = f.card ? columns[`selection/${f.card}`] : null;
    const suspected = f.outcome === "suspected" ? columns.suspected : null;
    const wanted = f.outcome === "right" ? 0 : f.outcome === "wrong" ? 1 : -1;
    const outcome = wanted >= 0 ? outcomes(now.side === "second" ? "second" : "first") : null;
    const out = new Uint32Array(n);
    let count = 0;
    for (let i = 0; i < n; i++) {
      if (f.classes && !f.classes.has(columns.label[i])) continue;
      if (f.regions && !f.regions.has(columns.region[i])) continue;
      if (card && !card[i]) continue;
      if (suspected && !suspected[i]) continue;
      if (outcome && outcome[i] !== wanted) continue;
      if (scored && !(scored[i] >= f.low && scored[i] <= f.high)) continue;
      if (f.found && !f.found[i]) continue;
      out[count++] = i;
    }
    return out.subarray(0, count);
  }

  function allKept() {
    return now.kept || Uint32Array.from({ length: n }, (_, i) => i);
  }

  /** The map after so many epochs, on the sides that have one. @param {number} epoch */
  async function frame(epoch) {
    const sides = [...(header.replay ? ["first"] : []), ...(header.secondReplay ? ["second"] : [])];
    const last = header.secondReplay ? Math.min(epoch, header.secondEpochs) : epoch;
    const found = await Promise.all(sides.map((one) => source.frame(one === "second" ? last : epoch, one)));
    return Object.fromEntries(sides.map((one, i) => [one, found[i]]));
  }

  /** The rows whose labels look wrong, the most suspicious first. */
  function queue() {
    if (!columns.suspected) return [];
    const rows = [];
    for (let i = 0; i < n; i++) if (columns.suspected[i]) rows.push(i);
    return rows.sort((a, b) => columns.suspicion[b] - columns.suspicion[a] || a - b);
  }

  return state;
}

/** @typedef {ReturnType<typeof makeState>} State */
