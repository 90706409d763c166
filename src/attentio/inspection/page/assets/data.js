/*
 * The numbers of the page: from packed text to arrays (numbers.py says how they were packed).
 *
 * Matrix: {rows, columns, codes, values, at(row, column)}. codes: Uint16Array or Uint8Array, row by row, in the order
 * of the weights; values: Float32Array, the weight of each code. Codes below attentio.data.ZERO are no numbers:
 * MASKED, NOT_KEPT, NOT_A_NUMBER. at() gives {code, value} of a cell; value is NaN for those.
 */
(() => {
  "use strict";

  const MASKED = 0, NOT_KEPT = 1, NOT_A_NUMBER = 2, ZERO = 3;

  async function bytes(id) {
    const text = atob(document.getElementById(id).textContent);
    const packed = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i += 1) packed[i] = text.charCodeAt(i);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return new Response(stream).arrayBuffer();
  }

  function half(bits) {
    const exponent = (bits >> 10) & 31, fraction = bits & 1023, sign = bits >> 15 ? -1 : 1;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
  }

  const halfValues = Float32Array.from({ length: 65536 }, (_, code) => (code < ZERO ? NaN : half(code - ZERO)));
  const byteValues = Float32Array.from({ length: 256 }, (_, code) => (code < ZERO ? NaN : ((code - ZERO) / 252) ** 4));

  class Matrix {
    constructor(rows, columns, codes, values) { Object.assign(this, { rows, columns, codes, values }); }
    at(row, column) {
      const code = this.codes[row * this.columns + column];
      return { code, value: this.values[code] };
    }
  }

  async function matrix(group, entry, item, head) {
    const buffer = await bytes(entry.weights[item][head]);
    const isHalf = entry.codes === "half";
    return new Matrix(group.queries, group.keys, isHalf ? new Uint16Array(buffer) : new Uint8Array(buffer),
      isHalf ? halfValues : byteValues);
  }

  async function floats(id) { return Float32Array.from(new Uint16Array(await bytes(id)), half); }

  async function parts(entry, item, head) {
    if (!entry.parts || head < 0) return null;
    const of = (name) => floats(entry.parts[name][item][head]);
    const [query, key, value, scores] = await Promise.all([of("query"), of("key"), of("value"), of("scores")]);
    const allowed = entry.parts.allowed && new Uint8Array(await bytes(entry.parts.allowed[item][head]));
    const { query: queryDimensions, value: valueDimensions } = entry.parts.dimensions;
    return { query, key, value, scores, allowed, scale: entry.parts.scale, queryDimensions, valueDimensions };
  }

  attentio.data = { MASKED, NOT_KEPT, NOT_A_NUMBER, ZERO, Matrix, matrix, parts, halfValues };
})();
