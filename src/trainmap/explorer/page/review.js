// @ts-check
// Labels that look wrong, one after the other: keep, relabel, drop, unsure, by keys; undo; kept as one goes.

import { exampleItself, trajectoryOf, verdict } from "./example_card.js";
import { button, make } from "./elements.js";
import { counted } from "./values.js";

/** @param {import("./state.js").State} state @param {(text: string) => void} alarm */
export function reviewPanel(state, alarm) {
  const { now, columns, header } = state;
  const suspects = state.queue();
  let queue = suspects;
  let at = 0;
  /** @type {{row: number, before: import("./sources.js").Decision | undefined, at: number}[]} */
  const undone = [];
  const said = make("p", { class: "tm-kept", role: "status" });
  const bar = make("progress", { max: 1, value: 0, "aria-label": "Reviewed" });
  const card = make("div", { class: "tm-review-card", tabindex: 0 });
  const other = make("select", { "aria-label": "Another class" });
  for (let k = 0; k < Math.min(header.classes, 2000); k++) other.append(make("option", { value: k, text: state.className(k) }));

  const current = () => (at < queue.length ? queue[at] : -1);
  const suggestion = () => (current() >= 0 && columns.suggested ? columns.suggested[current()] : -1);

  const buttons = {
    keep: button("Keep", () => decide("keep"), { "data-decision": "keep", title: "The label is right (K)" }),
    relabel: button("Relabel", () => decide("relabel"), { "data-decision": "relabel", title: "It is the class beside (R)" }),
    drop: button("Drop", () => decide("drop"), { "data-decision": "drop", title: "Leave the example out (D)" }),
    unsure: button("Unsure", () => decide("unsure"), { "data-decision": "unsure", title: "Look again later (U)" }),
  };
  for (const [name, one] of Object.entries(buttons)) one.append(make("kbd", { text: name[0].toUpperCase() }));
  const undo = button("Undo", takeBack, { title: "Take the last decision back (Z)" });
  undo.append(make("kbd", { text: "Z" }));
  const [back, on] = [button("‹", () => move(-1), { title: "Back (←)", "aria-label": "Back" }), button("›", () => move(1), { title: "On (→)", "aria-label": "On" })];
  const source = make("select", { "aria-label": "What is reviewed", on: { change: refill } },
    make("option", { value: "suspects", text: `labels that look wrong (${suspects.length.toLocaleString("en")})` }),
    make("option", { value: "open", text: "those of them that are open" }),
    make("option", { value: "selected", text: "what is selected on the map" }),
    make("option", { value: "unsure", text: "what I was unsure about" }));
  const keys = make("p", { class: "tm-hint", text: header.review ? `Decisions are kept in ${header.review} as you go.` : state.source.kind === "file" ? "Decisions are kept in this browser; take them with you by Export." : "Decisions are kept in the notebook: exploration.review.decisions." });
  const element = make("div", { class: "tm-review" },
    make("label", { class: "tm-field" }, make("span", { text: "Review" }), source), bar, said, card,
    make("div", { class: "tm-decide" }, buttons.keep, make("span", { class: "tm-relabel" }, buttons.relabel, other), buttons.drop, buttons.unsure),
    make("div", { class: "tm-decide" }, back, on, undo), keys);

  function refill() {
    const of = (/** @type {string} */ what) => [...now.decisions.values()].filter((one) => one.decision === what).map((one) => one.row);
    if (source.value === "selected") queue = Array.from(now.selected);
    else if (source.value === "unsure") queue = of("unsure");
    else if (source.value === "open") queue = suspects.filter((row) => !now.decisions.get(row)?.decision);
    else queue = suspects;
    at = 0;
    show();
  }

  function onKey(/** @type {KeyboardEvent} */ event) {
    const typing = event.target instanceof HTMLElement && ["INPUT", "SELECT", "TEXTAREA", "CANVAS"].includes(event.target.tagName);
    if (event.ctrlKey || event.metaKey || event.altKey || typing || element.hidden) return;
    if (event.target instanceof HTMLElement && event.target.role === "tab" && event.key.startsWith("Arrow")) return;
    const actions = /** @type {Record<string, () => void>} */ ({
      k: () => decide("keep"),
      r: () => decide("relabel"),
      d: () => decide("drop"),
      u: () => decide("unsure"),
      z: takeBack,
      ArrowRight: () => move(1),
      ArrowLeft: () => move(-1),
    });
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  async function keep(/** @type {import("./sources.js").Decision} */ decision) {
    await state.source.decide(decision);
    const decisions = new Map(now.decisions);
    if (decision.decision) decisions.set(decision.row, decision);
    else decisions.delete(decision.row);
    state.set({ decisions });
  }

  let busy = Promise.resolve();
  /** One decision after the other, in the order of the keys. @param {() => Promise<void>} work */
  function inTurn(work) {
    busy = busy.then(work).catch((why) => alarm(`This was not kept: ${why.message}`));
    return busy;
  }

  function decide(/** @type {string} */ decision) {
    return inTurn(async () => {
      const row = current();
      if (row < 0) return;
      const label = decision === "relabel" ? Number(other.value) : null;
      if (label !== null && label === columns.label[row]) {
        alarm("Relabel to another class than the label; to leave it, Keep.");
        return;
      }
      const before = now.decisions.get(row);
      await keep({ row, decision, label });
      undone.push({ row, before, at });
      at += 1;
      await show();
    });
  }

  function takeBack() {
    return inTurn(async () => {
      const last = undone.pop();
      if (!last) return;
      await keep(last.before || { row: last.row, decision: null, label: null });
      at = last.at;
      await show();
    });
  }

  function move(/** @type {number} */ by) {
    at = Math.max(0, Math.min(queue.length, at + by));
    return show();
  }

  let asked = 0;
  async function show() {
    const number = ++asked;
    const row = current();
    const done = queue.filter((one) => now.decisions.get(one)?.decision).length;
    bar.max = Math.max(1, queue.length);
    bar.value = done;
    said.textContent = queue.length ? `${Math.min(at + 1, queue.length)} of ${queue.length.toLocaleString("en")}; ${done.toLocaleString("en")} decided` : "";
    for (const one of Object.values(buttons)) one.disabled = row < 0;
    undo.disabled = !undone.length;
    if (row < 0) {
      const why = !columns.suspected ? "There are no suggested labels here: explore a recording to have them." : queue.length ? `That was all of them: ${counted(done)} decided. Export them as a relabel sheet.` : "There is nothing here to review.";
      card.replaceChildren(make("p", { class: "tm-hint", text: why }));
      return;
    }
    const suggested = suggestion();
    const decided = now.decisions.get(row);
    other.value = String(decided?.label ?? (suggested >= 0 ? suggested : columns.label[row]));
    const [itself, path] = await Promise.all([exampleItself(state, row), trajectoryOf(state, row)]);
    if (number !== asked) return;
    const told = decided?.decision ? `You said: ${decided.decision}${decided.label !== null ? ` to ${state.className(decided.label)}` : ""}.` : "";
    card.replaceChildren(make("h2", { text: itself.id, dir: "auto" }), itself.box, verdict(state, row), told ? make("p", { class: "tm-decided", text: told }) : "", path);
    if (element.offsetParent !== null) state.set({ hovered: row });
    card.focus({ preventScroll: true });
  }
  return { element, shown: show, onKey };
}
