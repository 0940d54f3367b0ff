// @ts-check
// The page: reads what there is, builds the panels, and keeps them apart.

import { controls, factsOf } from "./controls.js";
import { button, make } from "./elements.js";
import { examplePanel } from "./example_card.js";
import { exportPanel } from "./exports.js";
import { galleryPanel, tablePanel } from "./lists.js";
import { epochSlider, mapPanel } from "./map_panel.js";
import { reviewPanel } from "./review.js";
import { embeddedSource, notebookSource, servedSource } from "./sources.js";
import { makeState } from "./state.js";

/** @typedef {{id: string, text: string, element: HTMLElement, shown?: () => any}} Tab */

/** Read the columns and build the page in an element. @param {HTMLElement} root @param {import("./sources.js").Source} source */
export async function mount(root, source) {
  root.classList.add("tm-explorer");
  root.replaceChildren(make("p", { class: "tm-hint", text: "Reading the map …" }));
  const header = await source.header();
  const names = Object.keys(header.columns);
  const found = await Promise.all(names.map((name) => source.column(name, header.columns[name])));
  const columns = Object.fromEntries(names.map((name, k) => [name, found[k]]));
  const state = makeState(header, source, columns);
  const { now } = state;
  for (const one of await source.decisions()) now.decisions.set(one.row, one);

  const alert = make("div", { class: "tm-alarm", role: "alert", hidden: true });
  let quiet = 0;
  const alarm = (/** @type {string} */ text) => {
    alert.textContent = text;
    alert.hidden = false;
    clearTimeout(quiet);
    quiet = setTimeout(() => (alert.hidden = true), 8000);
  };

  // dark or light: as the system says, until the person says otherwise
  const system = globalThis.matchMedia("(prefers-color-scheme: dark)");
  const stored = () => { try { return localStorage.getItem("trainmap-theme"); } catch { return null; } };
  const theme = () => {
    const dark = (stored() || (system.matches ? "dark" : "light")) === "dark";
    root.dataset.theme = dark ? "dark" : "light";
    turn.textContent = dark ? "☀ Light" : "☾ Dark";
    state.set({ dark });
  };
  const turn = button("", () => {
    const next = now.dark ? "light" : "dark";
    try { localStorage.setItem("trainmap-theme", next); } catch { /* a file without a store */ }
    root.dataset.chosen = next;
    theme();
  }, { class: "tm-theme" });
  system.addEventListener("change", theme);

  const first = mapPanel(state, () => (now.side === "both" ? "first" : now.side));
  const second = header.second ? mapPanel(state, () => "second") : null;
  if (second) second.element.hidden = true;
  const maps = make("div", { class: "tm-maps" }, first.element, second?.element);
  const modes = make("div", { class: "tm-modes", role: "group", "aria-label": "What dragging does" });
  for (const [mode, text, told] of [["pan", "✥ Move", "Drag moves the map, the wheel zooms"], ["lasso", "⌇ Lasso", "Draw around examples to select them (or Shift and drag)"], ["box", "▭ Box", "Drag a box to select"]]) {
    const one = button(text, () => {
      for (const map of [first, second]) map?.view?.mode(mode);
      for (const other of modes.children) other.setAttribute("aria-pressed", String(other === one));
    }, { title: told, "aria-pressed": String(mode === "pan"), "data-mode": mode });
    modes.append(one);
  }
  const whole = button("⤢ All", () => { first.view?.reset(); second?.view?.reset(); }, { title: "Show the whole map (0)" });
  const none = button("", () => state.set({ selected: new Uint32Array(0) }), { class: "tm-unselect", hidden: true });
  const tools = make("div", { class: "tm-tools" }, modes, whole, none);
  const slider = header.replay && header.epochs > 1 ? epochSlider(state) : null;

  const left = controls(state);
  const example = examplePanel(state);
  const open = (/** @type {number} */ row) => {
    state.set({ pinned: row, hovered: row });
    choose("example");
  };
  const gallery = galleryPanel(state, open);
  const table = tablePanel(state, open);
  const review = reviewPanel(state, alarm);
  const exported = exportPanel(state, alarm);

  /** @type {Tab[]} */
  const tabs = [
    { id: "example", text: "Example", element: example.element },
    { id: "gallery", text: "Gallery", element: gallery.element, shown: gallery.shown },
    { id: "review", text: `Review${columns.suspected ? ` (${state.queue().length.toLocaleString("en")})` : ""}`, element: review.element, shown: review.shown },
    { id: "table", text: "Table", element: table.element, shown: table.shown },
    { id: "export", text: "Export", element: exported.element },
  ];
  const strip = make("div", { class: "tm-tabs", role: "tablist", "aria-label": "Panels" });
  const side = make("div", { class: "tm-side" }, strip);
  const unique = Math.random().toString(36).slice(2, 8);
  for (const tab of tabs) {
    const one = button(tab.text, () => choose(tab.id), { role: "tab", id: `tm-tab-${tab.id}-${unique}`, "data-tab": tab.id, "aria-controls": `tm-panel-${tab.id}-${unique}` });
    strip.append(one);
    for (const [name, value] of Object.entries({ role: "tabpanel", id: `tm-panel-${tab.id}-${unique}`, "aria-labelledby": one.id, "data-panel": tab.id })) tab.element.setAttribute(name, value);
    side.append(tab.element);
  }
  function choose(/** @type {string} */ id) {
    if (!review.element.hidden && id !== "review" && now.pinned < 0) state.set({ hovered: -1 });
    tabs.forEach((tab, k) => {
      const on = tab.id === id;
      tab.element.hidden = !on;
      strip.children[k].setAttribute("aria-selected", String(on));
      strip.children[k].tabIndex = on ? 0 : -1;
      if (on) tab.shown?.();
    });
  }
  strip.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const at = tabs.findIndex((tab) => !tab.element.hidden);
    const next = (at + by + tabs.length) % tabs.length;
    choose(tabs[next].id);
    strip.children[next].focus();
    event.preventDefault();
  });

  const notes = header.notes.length ? make("details", { class: "tm-notes" }, make("summary", { text: `${header.notes.length === 1 ? "1 note" : `${header.notes.length} notes`}` }), ...header.notes.map((/** @type {string} */ text) => make("p", { text }))) : null;
  const top = make("header", { class: "tm-head" }, make("h1", { text: header.title }), make("p", { class: "tm-facts", text: factsOf(state) }), notes, turn);
  const middle = make("main", { class: "tm-middle" }, tools, maps, slider?.element);
  root.replaceChildren(top, make("div", { class: "tm-body" }, left.element, middle, side), alert);
  root.addEventListener("keydown", review.onKey);
  choose("example");
  if (root.clientWidth < 700) for (const one of left.element.querySelectorAll("details")) /** @type {HTMLDetailsElement} */ (one).open = false;

  state.on((changed) => {
    if (changed.has("selected")) {
      none.hidden = !now.selected.length;
      none.textContent = `✕ ${now.selected.length.toLocaleString("en")} selected`;
      if (now.selected.length) choose(root.querySelector('[data-tab="gallery"]') ? "gallery" : "example");
    }
    if (changed.has("pinned") && now.pinned >= 0) choose("example");
    if (changed.has("side") && second) {
      const both = now.side === "both";
      maps.classList.toggle("tm-two", both);
      second.element.hidden = !both;
      if (both) (second.view ? second.redraw() : second.start());
      choose(now.side === "difference" ? "gallery" : "example");
    }
  });
  theme();
  await first.start();
  root.dataset.ready = "true";
  return { state, first, slider };
}

/** The page by itself, served or as a file. */
export async function startPage() {
  const root = /** @type {HTMLElement} */ (document.getElementById("trainmap-explorer"));
  try {
    const page = await mount(root, root.dataset.source === "file" ? embeddedSource(document) : servedSource());
    Object.assign(globalThis, { trainmapExplorer: page });
  } catch (why) {
    root.replaceChildren(make("p", { class: "tm-alarm", role: "alert", text: `The map cannot be shown: ${/** @type {Error} */ (why).message}` }));
    throw why;
  }
}

/** In a notebook, by anywidget. @param {{model: any, el: HTMLElement}} given */
export async function renderWidget({ model, el }) {
  const root = make("div", { class: "tm-explorer tm-in-notebook" });
  el.append(root);
  await mount(root, notebookSource(model));
}
