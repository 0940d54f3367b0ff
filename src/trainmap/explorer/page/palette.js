// @ts-check
// Colours that people with any kind of colour vision tell apart; the same in the dark and in the light.

/** Okabe and Ito's without black, and five more that differ from them in lightness: up to twelve groups. */
const GROUPS = [
  "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00",
  "#b8a800", "#8c6bb1", "#8a5a2b", "#9fd3b8", "#a3195b", "#c9b2de",
];
export const GREY = "#8a909c";
export const REGION_COLOURS = ["#0072b2", "#e69f00", "#c2397a", GREY];
export const RIGHT_WRONG = ["#0072b2", "#d55e00", GREY];
export const CHOSEN = ["#e69f00", GREY];

/** Viridis at nine places: even steps of lightness, so that it is a scale without colour too. */
const SCALE = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];

/** @param {string} hex @returns {[number, number, number]} */
const rgb = (hex) => /** @type {any} */ ([1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)));

/** @param {number[]} parts */
const toHex = (parts) => `#${parts.map((one) => Math.round(one).toString(16).padStart(2, "0")).join("")}`;

/** 64 colours from low to high; the dark end is lifted on a dark ground. @param {boolean} dark */
export function scaleColours(dark) {
  const stops = dark ? SCALE.slice(2) : SCALE.slice(0, 8);
  return Array.from({ length: 64 }, (_, i) => {
    const at = (i / 63) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    const [a, b] = [rgb(stops[low]), rgb(stops[low + 1])];
    return toHex(a.map((one, k) => one + (b[k] - one) * (at - low)));
  });
}

/** Colours of classes; beyond twelve they differ in lightness as well, beyond 36 they come again. @param {number} count */
export function classColours(count) {
  return Array.from({ length: count }, (_, i) => {
    const base = rgb(GROUPS[i % GROUPS.length]);
    const turn = Math.floor(i / GROUPS.length) % 3;
    if (turn === 1) return toHex(base.map((one) => one + (255 - one) * 0.5));
    if (turn === 2) return toHex(base.map((one) => one * 0.55));
    return toHex(base);
  });
}
