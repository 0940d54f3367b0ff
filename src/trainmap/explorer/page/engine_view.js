// @ts-check
// One canvas of regl-scatterplot: points in [-1, 1] x [-1, 1], coloured by a palette. All that knows the engine.

// @ts-ignore: engine.js stands in front of this module in the same script, see page_script.py
const engine = /** @type {any} */ (trainmapEngine);

const MANY = 200_000;

/**
 * What the engine asks of a scale: it writes the visible part of [-1, 1] into it.
 * @returns {{domain: (to?: number[]) => number[], range: (to?: number[]) => number[]}}
 */
function plainScale() {
  let domain = [-1, 1];
  let range = [0, 1];
  return {
    domain: (to) => (to ? (domain = to) : domain),
    range: (to) => (to ? (range = to) : range),
  };
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {number} examples how many there will be: many are drawn as plain squares
 * @param {{hover: (row: number) => void, click: (row: number) => void, select: (rows: number[]) => void,
 *   deselect: () => void, view: (x: number[], y: number[]) => void}} listeners
 */
export function engineView(canvas, examples, listeners) {
  const [xScale, yScale] = [plainScale(), plainScale()];
  let box = canvas.getBoundingClientRect();
  const plot = engine.default({
    canvas,
    width: Math.max(50, box.width),
    height: Math.max(50, box.height),
    aspectRatio: Math.max(50, box.width) / Math.max(50, box.height),
    xScale,
    yScale,
    pointSize: 3,
    pointColorHover: "#d55e00",
    pointOutlineWidth: 2,
    lassoColor: "#d55e00",
    lassoMinDelay: 0,
    colorBy: "valueA",
    deselectOnDblClick: false,
    deselectOnEscape: false,
    mouseMode: "panZoom",
    actionKeyMap: { lasso: "shift", merge: "ctrl", remove: "alt" },
    performanceMode: examples > MANY,
  });
  /** @type {{x: Float32Array, y: Float32Array} | null} */
  let placed = null;
  let count = 0;
  let quiet = false;
  plot.subscribe("view", () => listeners.view(xScale.domain(), yScale.domain()));
  plot.subscribe("pointover", (/** @type {number} */ row) => listeners.hover(row));
  plot.subscribe("pointout", () => listeners.hover(-1));
  plot.subscribe("select", (/** @type {{points: number[]}} */ { points }) => {
    if (quiet) return;
    if (points.length === 1) listeners.click(points[0]);
    else listeners.select(points);
  });
  plot.subscribe("deselect", () => quiet || listeners.deselect());
  // A click on a dot selects it in the engine; what is selected on the page is said to it anew by `select`.

  return {
    /** Draw all points. Where only colours are new, the index of the points is kept. */
    async draw(/** @type {Float32Array} */ x, /** @type {Float32Array} */ y, colour, palette, continuous, moving) {
      const same = placed !== null && placed.x === x && placed.y === y;
      const spatialIndex = same ? plot.get("spatialIndex") : undefined;
      const transition = moving && !same && count === x.length && count <= MANY;
      plot.set({ pointColor: palette, ...pointLook(x.length, box.width * box.height) });
      await plot.draw(
        { x, y, valueA: colour },
        {
          zDataType: continuous ? "continuous" : "categorical",
          preventFilterReset: count === x.length,
          transition,
          transitionDuration: 350,
          ...(spatialIndex ? { spatialIndex } : {}),
        },
      );
      placed = { x, y };
      count = x.length;
    },
    /** Only these points; all of them for null. */
    async filter(/** @type {Uint32Array | null} */ rows) {
      quiet = true;
      const { pointSize, opacity } = pointLook(rows === null ? count : Math.max(1, rows.length), box.width * box.height);
      plot.set({ pointSize, opacity });
      if (rows === null) await plot.unfilter({ preventEvent: true });
      else await plot.filter(Array.from(rows), { preventEvent: true });
      quiet = false;
    },
    select(/** @type {ArrayLike<number>} */ rows) {
      quiet = true;
      if (rows.length) plot.select(Array.from(rows), { preventEvent: true });
      else plot.deselect({ preventEvent: true });
      quiet = false;
    },
    hover: (/** @type {number} */ row) => plot.hover(row, { preventEvent: true }),
    mode(/** @type {string} */ name) {
      plot.set({ mouseMode: name === "pan" ? "panZoom" : "lasso" });
      if (name !== "pan") plot.set({ lassoType: name === "box" ? "rectangle" : "freeform" });
    },
    ground: (/** @type {string} */ colour, /** @type {string} */ active) =>
      plot.set({ backgroundColor: colour, pointColorActive: active }),
    resize(/** @type {number} */ width, /** @type {number} */ height) {
      if (width < 10 || height < 10) return;
      box = canvas.getBoundingClientRect();
      const look = count ? pointLook(count, width * height) : {};
      plot.set({ width, height, aspectRatio: width / height, ...look });
      plot.redraw();
    },
    reset: () => plot.zoomToArea({ x: -1, y: -1, width: 2, height: 2 }, { transition: count <= MANY }),
    zoom(/** @type {number} */ by) {
      const [x, y] = [xScale.domain(), yScale.domain()];
      const half = [((x[1] - x[0]) / 2) * by, ((y[1] - y[0]) / 2) * by];
      const middle = [(x[0] + x[1]) / 2, (y[0] + y[1]) / 2];
      const area = { x: middle[0] - half[0], y: middle[1] - half[1], width: 2 * half[0], height: 2 * half[1] };
      return plot.zoomToArea(area, { transition: false });
    },
    domain: () => [xScale.domain(), yScale.domain()],
    redraw: () => plot.redraw(),
    plot,
    destroy: () => plot.destroy(),
  };
}

/** Few dots are large and solid, many are small and let those beneath through. */
function pointLook(/** @type {number} */ count, /** @type {number} */ area) {
  const size = Math.max(1.8, Math.min(8, Math.sqrt(area / count) * 0.38));
  const opacity = count > MANY ? 0.25 : count > 20_000 ? 0.45 : 0.75;
  return { pointSize: size, pointSizeSelected: count > MANY ? 0.5 : 1.5, opacity };
}
