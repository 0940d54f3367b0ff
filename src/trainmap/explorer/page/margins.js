// @ts-check
// Beside the map: how many examples stand where, and the numbers on the axes.

import { plainNumber, ticksOf } from "./values.js";

const BINS = 72;

/** @param {HTMLCanvasElement} canvas */
function ready(canvas) {
  const ratio = globalThis.devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.scale(ratio, ratio);
  return { pen, width, height };
}

/**
 * Counts in equal bins of [low, high].
 * @param {Float32Array} places @param {Uint32Array | null} rows @param {number} low @param {number} high
 */
export function binned(places, rows, low, high, bins = BINS) {
  const counts = new Float64Array(bins);
  const scale = bins / (high - low);
  const total = rows ? rows.length : places.length;
  for (let k = 0; k < total; k++) {
    const bin = Math.floor((places[rows ? rows[k] : k] - low) * scale);
    if (bin >= 0 && bin < bins) counts[bin] += 1;
  }
  return counts;
}

/**
 * The density along one side; that of the selected in front, at its own scale.
 * @param {HTMLCanvasElement} canvas @param {Float64Array} counts @param {Float64Array | null} chosen
 * @param {boolean} upright @param {{soft: string, accent: string}} colours
 */
export function drawMargin(canvas, counts, chosen, upright, colours) {
  const { pen, width, height } = ready(canvas);
  for (const [values, colour] of /** @type {[Float64Array | null, string][]} */ ([
    [counts, colours.soft],
    [chosen, colours.accent],
  ])) {
    if (!values) continue;
    const most = Math.max(1, ...values);
    pen.fillStyle = colour;
    for (let k = 0; k < values.length; k++) {
      const share = values[k] / most;
      if (upright) {
        const tall = height / values.length;
        pen.fillRect(0, height - (k + 1) * tall, share * width, tall + 0.5);
      } else {
        const wide = width / values.length;
        pen.fillRect(k * wide, height - share * height, wide + 0.5, share * height);
      }
    }
    pen.globalAlpha = 0.75;
  }
}

/**
 * The numbers along an axis.
 * @param {HTMLCanvasElement} canvas @param {number} low @param {number} high @param {boolean} upright
 * @param {string} ink
 */
export function drawAxis(canvas, low, high, upright, ink) {
  const { pen, width, height } = ready(canvas);
  pen.fillStyle = ink;
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  pen.textAlign = upright ? "right" : "center";
  for (const tick of ticksOf(low, high, upright ? 6 : Math.max(2, Math.round(width / 90)))) {
    const share = (tick - low) / (high - low);
    const text = plainNumber(Number(tick.toPrecision(6)));
    if (upright) pen.fillText(text, width - 4, Math.min(height - 7, Math.max(7, height * (1 - share))));
    else {
      const half = pen.measureText(text).width / 2;
      pen.fillText(text, Math.min(width - half, Math.max(half, width * share)), height / 2);
    }
  }
}
