// @ts-check
// The map: dots, axes, densities at the margins, the slider; one of them, or two side by side.

import { button, make, onceAFrame } from "./elements.js";
import { engineView } from "./engine_view.js";
import { binned, drawAxis, drawMargin } from "./margins.js";
import { counted, extentOf, plainNumber, words } from "./values.js";

/**
 * One map of one side.
 * @param {import("./state.js").State} state
 * @param {() => string} sideOf "first", "second" or "difference"
 */
export function mapPanel(state, sideOf) {
  const { now } = state;
  const canvas = make("canvas", { class: "tm-dots", tabindex: 0, role: "application" });
  const [top, right] = [make("canvas", { class: "tm-margin-top" }), make("canvas", { class: "tm-margin-right" })];
  const [below, left] = [make("canvas", { class: "tm-axis-x" }), make("canvas", { class: "tm-axis-y" })];
  for (const one of [top, right, below, left]) one.setAttribute("aria-hidden", "true");
  const [xName, yName] = [make("div", { class: "tm-x-name" }), make("div", { class: "tm-y-name" })];
  const heading = make("div", { class: "tm-side-name" });
  const tip = make("div", { class: "tm-tip", role: "status", hidden: true });
  const note = make("div", { class: "tm-map-note" });
  const pin = make("div", { class: "tm-pin", hidden: true });
  const noChange = [make("div", { class: "tm-no-change" }), make("div", { class: "tm-no-change" })];
  const stage = make("div", { class: "tm-stage" }, canvas, ...noChange, pin, tip, note);
  const element = make("div", { class: "tm-map" }, heading, top, stage, right, left, below, xName, yName);

  /** @type {ReturnType<typeof engineView> | null} */
  let view = null;
  let placed = { x: new Float32Array(0), y: new Float32Array(0), key: "", lost: /** @type {number[]} */ ([]) };
  let spans = { x: [0, 1], y: [0, 1] };
  let drawing = Promise.resolve();

  const colours = () => {
    const style = getComputedStyle(element);
    const of = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    return { soft: of("--tm-density"), accent: of("--tm-accent"), ink: of("--tm-soft"), ground: of("--tm-ground"), text: of("--tm-ink") };
  };

  const margins = onceAFrame(() => {
    if (!view || !placed.x.length) return;
    const [[x0, x1], [y0, y1]] = view.domain();
    const chosen = now.selected.length ? now.selected : null;
    const { soft, accent, ink } = colours();
    const of = (/** @type {any} */ places, /** @type {number} */ low, /** @type {number} */ high) => [
      binned(places, now.kept, low, high),
      chosen && binned(places, chosen, low, high),
    ];
    const [xs, xc] = of(placed.x, x0, x1);
    const [ys, yc] = of(placed.y, y0, y1);
    drawMargin(top, /** @type {any} */ (xs), xc, false, { soft, accent });
    drawMargin(right, /** @type {any} */ (ys), yc, true, { soft, accent });
    const back = (/** @type {number} */ place, /** @type {number[]} */ span) => span[0] + ((place + 1) / 2) * (span[1] - span[0]);
    drawAxis(below, back(x0, spans.x), back(x1, spans.x), false, ink);
    drawAxis(left, back(y0, spans.y), back(y1, spans.y), true, ink);
    mark();
    noChangeAt([back(x0, spans.x), back(x1, spans.x)], [back(y0, spans.y), back(y1, spans.y)]);
  });

  /** A ring around the pinned dot. */
  function mark() {
    const there = now.pinned >= 0 && placed.x[now.pinned] <= 1;
    pin.hidden = !there;
    if (!there) return;
    const [x, y] = placeOnScreen(now.pinned);
    pin.style.setProperty("left", `${x}px`);
    pin.style.setProperty("top", `${y}px`);
  }

  /** Where nothing moved, a line along each axis. */
  function noChangeAt(/** @type {number[]} */ x, /** @type {number[]} */ y) {
    const share = (/** @type {number[]} */ span) => (0 - span[0]) / (span[1] - span[0]);
    const shown = sideOf() === "difference";
    const place = (/** @type {any} */ line, /** @type {number} */ at, /** @type {Record<string, string>} */ how) => {
      line.hidden = !shown || at < 0 || at > 1;
      for (const [name, value] of Object.entries(how)) line.style.setProperty(name, value);
    };
    place(noChange[0], share(x), { left: `${100 * share(x)}%`, top: "0", width: "1px", height: "100%" });
    place(noChange[1], share(y), { top: `${100 - 100 * share(y)}%`, left: "0", height: "1px", width: "100%" });
  }

  /** Values as places in [-1, 1]; what has no value has no place, and infinity stands at the edge. */
  function placesOf(/** @type {any} */ values, /** @type {[number, number]} */ span, /** @type {Uint8Array} */ lost) {
    const out = new Float32Array(values.length);
    const scale = 2 / (span[1] - span[0] || 1);
    for (let i = 0; i < values.length; i++) {
      const place = (values[i] - span[0]) * scale - 1;
      if (Number.isNaN(place)) lost[i] = 1;
      out[i] = Number.isNaN(place) ? 5 : Math.max(-1, Math.min(1, place));
    }
    return out;
  }

  /** The span of an axis, the same at every epoch and on both sides, so that dots move and not the axis. */
  function spanOf(/** @type {string} */ name, /** @type {string} */ side) {
    let span = name === "confidence" && side !== "difference" ? [0, 1] : extentOf(state.values(name, side));
    if (side !== "difference" && name === "variability") span = [0, Math.max(0.5, span[1])];
    else if (side !== "difference" && state.header.second && name !== "confidence") {
      const other = extentOf(state.values(name, side === "first" ? "second" : "first"));
      span = [Math.min(span[0], other[0]), Math.max(span[1], other[1])];
    }
    const room = 0.03 * (span[1] - span[0] || 1);
    return /** @type {[number, number]} */ ([span[0] - room, span[1] + room]);
  }

  async function redraw() {
    if (!view) return;
    const side = sideOf();
    const frame = now.epoch < state.header.epochs ? now.epoch : "";
    const key = `${side} ${now.x} ${now.y} ${frame}`;
    if (key !== placed.key) {
      spans = { x: spanOf(now.x, side), y: spanOf(now.y, side) };
      const lost = new Uint8Array(state.n);
      const x = placesOf(state.values(now.x, side), /** @type {any} */ (spans.x), lost);
      const y = placesOf(state.values(now.y, side), /** @type {any} */ (spans.y), lost);
      const rows = [];
      for (let i = 0; i < lost.length; i++) if (lost[i]) rows.push(i);
      placed = { x, y, key, lost: rows };
    }
    const { index, palette, continuous } = state.colouring(side);
    await view.draw(placed.x, placed.y, index, palette, continuous, true);
    if (now.kept) await view.filter(now.kept);
    view.select(now.selected);
    named(side);
    margins();
  }

  function named(/** @type {string} */ side) {
    const delta = side === "difference" ? "change in " : "";
    const told = (/** @type {string} */ name) => state.variables().find((/** @type {any} */ one) => one.name === name)?.told || "";
    xName.textContent = `${delta}${words(now.x)} →`;
    yName.textContent = `${delta}${words(now.y)} →`;
    xName.title = told(now.x);
    yName.title = told(now.y);
    const { first, second } = state.header;
    heading.textContent = !second ? "" : side === "difference" ? `${second.name} − ${first}` : side === "second" ? second.name : first;
    const kept = now.kept ? now.kept.length : state.n;
    const lost = placed.lost.length ? `; ${counted(placed.lost.length)} without a value here` : "";
    note.textContent = (now.kept ? `${kept.toLocaleString("en")} of ${counted(state.n)}` : "") + lost;
    note.hidden = !note.textContent;
    canvas.setAttribute(
      "aria-label",
      `Map of ${counted(kept)}: ${words(now.x)} to the right, ${words(now.y)} upwards. ` +
        "Plus and minus zoom, 0 shows all, arrows go to the next dot in a direction, Enter pins it. " +
        "The tab Table has the same as rows.",
    );
  }

  /** One redraw after the other, and only the last of those that wait. */
  let waiting = false;
  function soon() {
    if (waiting) return drawing;
    waiting = true;
    drawing = drawing.then(() => {
      waiting = false;
      return redraw();
    });
    return drawing;
  }

  function placeOnScreen(/** @type {number} */ row) {
    if (!view) return [0, 0];
    const [[x0, x1], [y0, y1]] = view.domain();
    const box = canvas.getBoundingClientRect();
    return [((placed.x[row] - x0) / (x1 - x0)) * box.width, (1 - (placed.y[row] - y0) / (y1 - y0)) * box.height];
  }

  function point(/** @type {number} */ row) {
    if (row < 0) {
      tip.hidden = true;
      return;
    }
    const side = sideOf();
    const [x, y] = placeOnScreen(row);
    const values = [now.x, now.y].map((name) => `${words(name)} ${plainNumber(state.values(name, side)[row])}`);
    tip.replaceChildren(make("b", { text: state.className(state.labelOf(row)) }), ` ${values.join(" · ")}`);
    tip.hidden = false;
    const box = stage.getBoundingClientRect();
    tip.style.setProperty("left", `${Math.min(box.width - tip.offsetWidth - 4, Math.max(4, x + 12))}px`);
    tip.style.setProperty("top", `${y > 40 ? y - 34 : y + 14}px`);
  }

  /** The nearest dot in a direction from where the person is. */
  function step(/** @type {number} */ dx, /** @type {number} */ dy) {
    const rows = state.allKept();
    const from = now.hovered >= 0 ? now.hovered : now.pinned;
    if (from < 0) return state.set({ hovered: rows.length ? rows[0] : -1 });
    let best = -1;
    let least = Infinity;
    for (const row of rows) {
      const [x, y] = [placed.x[row] - placed.x[from], placed.y[row] - placed.y[from]];
      const along = x * dx + y * dy;
      if (along <= 1e-9) continue;
      const cost = along + 3 * Math.abs(x * dy - y * dx);
      if (cost < least) [least, best] = [cost, row];
    }
    if (best >= 0) state.set({ hovered: best });
  }

  const keys = /** @type {Record<string, () => any>} */ ({
    "+": () => view?.zoom(0.7),
    "=": () => view?.zoom(0.7),
    "-": () => view?.zoom(1.4),
    0: () => view?.reset(),
    ArrowLeft: () => step(-1, 0),
    ArrowRight: () => step(1, 0),
    ArrowUp: () => step(0, 1),
    ArrowDown: () => step(0, -1),
    Enter: () => now.hovered >= 0 && state.set({ pinned: now.hovered }),
    Escape: () => state.set({ selected: new Uint32Array(0), pinned: -1 }),
  });
  canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  function start() {
    view = engineView(canvas, state.n, {
      hover: (row) => state.set({ hovered: row }),
      click: (row) => {
        view?.select(now.selected);
        state.set({ pinned: row });
      },
      select: (rows) => state.set({ selected: Uint32Array.from(rows) }),
      deselect: () => state.set({ selected: new Uint32Array(0) }),
      view: margins,
    });
    const { ground, text } = colours();
    view.ground(ground, text);
    new ResizeObserver(
      onceAFrame(() => {
        const box = stage.getBoundingClientRect();
        view?.resize(box.width, box.height);
        margins();
      }),
    ).observe(stage);
    return soon();
  }

  const drawn = ["x", "y", "colour", "frames", "side", "dark", "decisions", "epoch"];
  state.on((changed) => {
    if (!view || element.hidden) return;
    if (changed.has("dark")) {
      const { ground, text } = colours();
      view.ground(ground, text);
    }
    const anew = drawn.filter((name) => changed.has(name) && (name !== "decisions" || now.colour === "decision"));
    if (anew.length) soon();
    else if (changed.has("kept")) {
      const kept = now.kept;
      drawing = drawing.then(() => view?.filter(kept)).then(() => {
        named(sideOf());
        margins();
        view?.select(now.selected);
      });
    }
    if (changed.has("selected") && !anew.length) {
      view.select(now.selected);
      margins();
    }
    if (changed.has("hovered")) {
      view.hover(now.hovered);
      point(now.hovered);
    }
    if (changed.has("pinned")) {
      mark();
      if (now.pinned >= 0) point(now.pinned);
    }
  });

  return { element, start, redraw: soon, placeOnScreen, get view() { return view; }, get drawing() { return drawing; } };
}

/** The epoch slider, with a button that plays it. @param {import("./state.js").State} state */
export function epochSlider(state) {
  const { header, now } = state;
  const slider = make("input", { type: "range", min: 1, max: header.epochs, step: 1, value: header.epochs, id: "tm-epoch" });
  const said = make("output", { for: "tm-epoch", class: "tm-epoch-said" });
  let playing = false;
  let asked = 0;

  const tell = () => {
    said.textContent = `after epoch ${now.epoch} of ${header.epochs}`;
    slider.value = String(now.epoch);
    slider.setAttribute("aria-valuetext", said.textContent);
  };
  async function go(/** @type {number} */ epoch) {
    const number = ++asked;
    const frames = await state.frame(epoch);
    if (number !== asked) return;
    state.set({ epoch, frames });
    if (now.filters.outcome) state.filter({});
    tell();
  }
  async function play() {
    playing = !playing;
    start.textContent = playing ? "❚❚ Pause" : "▶ Play";
    if (!playing) return;
    let epoch = now.epoch >= header.epochs ? 1 : now.epoch;
    while (playing && epoch <= header.epochs) {
      await go(epoch++);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    playing = false;
    start.textContent = "▶ Play";
  }
  const start = button("▶ Play", play, { class: "tm-play", title: "Replay how the network learned" });
  slider.addEventListener("input", () => {
    playing = false;
    go(Number(slider.value));
  });
  tell();
  const label = make("label", { for: "tm-epoch", text: "Replay" });
  return { element: make("div", { class: "tm-replay" }, label, start, slider, said), go };
}
