// @ts-check
// Numbers on their way: bytes to columns, and numbers as people read them.

/** @typedef {Float32Array | Float64Array | Int32Array | Int16Array | Uint8Array | Uint16Array | Uint32Array} Column */

const TYPES = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int16: Int16Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
};

/**
 * Little-endian bytes as a column; float16 is widened, which not every browser does by itself.
 * @param {ArrayBuffer} buffer
 * @param {string} type
 * @returns {Column}
 */
export function columnOf(buffer, type) {
  if (type === "float16") return widened(new Uint16Array(buffer));
  return new TYPES[/** @type {keyof typeof TYPES} */ (type)](buffer);
}

/** @param {Uint16Array} halves */
function widened(halves) {
  const out = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) {
    const sign = halves[i] & 0x8000 ? -1 : 1;
    const exponent = (halves[i] >> 10) & 31;
    const fraction = halves[i] & 1023;
    if (exponent === 31) out[i] = fraction ? NaN : sign * Infinity;
    else if (exponent === 0) out[i] = sign * fraction * 2 ** -24;
    else out[i] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return out;
}

/**
 * @param {string} text base64
 * @returns {ArrayBuffer}
 */
export function fromBase64(text) {
  const letters = atob(text.trim());
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes.buffer;
}

/**
 * The smallest and the largest finite value; [0, 1] without any.
 * @param {ArrayLike<number>} values
 * @returns {[number, number]}
 */
export function extentOf(values) {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value < low && value !== -Infinity) low = value;
    if (value > high && value !== Infinity) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

/** @param {number} value */
export function plainNumber(value) {
  if (value === Infinity) return "∞";
  if (Number.isNaN(value) || value === undefined || value === null) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return value.toLocaleString("en");
  if (size >= 1e5 || size < 1e-3) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

/** @param {number} count */
export function counted(count, noun = "example", plural = `${noun}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? noun : plural}`;
}

/**
 * Round places within [low, high], about as many as asked for.
 * @param {number} low
 * @param {number} high
 */
export function ticksOf(low, high, wanted = 5) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const raw = span / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw) || raw;
  const out = [];
  for (let k = Math.ceil(low / step); k * step <= high + 1e-9 * span; k++) out.push(k * step);
  return out;
}

/** A score's name as people read it. @param {string} name */
export function words(name) {
  return name.replaceAll("_", " ");
}
