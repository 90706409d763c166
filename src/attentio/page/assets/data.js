/*
 * The numbers of the page: from packed text to arrays (numbers.py says how they were packed).
 *
 * Matrix: {rows, columns, codes, values, at(row, column), level(n)}. codes: Uint16Array or Uint8Array, row by row, in
 * the order of the weights; values: Float32Array, the weight of each code. Codes below attentio.data.ZERO are no
 * numbers: MASKED, NOT_KEPT, NOT_A_NUMBER. at() gives {code, value} of a cell; value is NaN for those. level(n) is the
 * same matrix with the largest of each 2**n x 2**n cells, for drawing from afar.
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

  const one = new Float32Array(1), oneBits = new Uint32Array(one.buffer);

  // The half code of a number of at least 0.
  function halfCode(value) {
    if (!(value >= 0)) return NOT_A_NUMBER;
    if (value < 2 ** -14) return ZERO + Math.round(value * 2 ** 24);
    one[0] = Math.min(value, 65504);
    // float32 has 127 for float16's 15, and 13 bits of fraction more, the first of which rounds.
    return ZERO + (((oneBits[0] >>> 13) - ((127 - 15) << 10)) + ((oneBits[0] >>> 12) & 1));
  }

  class Matrix {
    constructor(rows, columns, codes, values) {
      Object.assign(this, { rows, columns, codes, values, levels: [this] });
    }

    at(row, column) {
      const code = this.codes[row * this.columns + column];
      return { code, value: this.values[code] };
    }

    level(number) {
      while (this.levels.length <= number) this.levels.push(halved(this.levels.at(-1)));
      return this.levels[number];
    }

    // Which codes that are no numbers are there.
    specials() {
      if (!this.found) {
        this.found = new Set();
        for (const code of this.codes) if (code < ZERO) this.found.add(code);
      }
      return this.found;
    }
  }

  function halved({ rows, columns, codes, values }) {
    const tall = Math.ceil(rows / 2), wide = Math.ceil(columns / 2);
    const small = new codes.constructor(tall * wide);
    for (let row = 0; row < rows; row += 1) {
      const from = row * columns, to = (row >> 1) * wide;
      for (let column = 0; column < columns; column += 1) {
        const code = codes[from + column], at = to + (column >> 1);
        if (code > small[at]) small[at] = code;
      }
    }
    return new Matrix(tall, wide, small, values);
  }

  // The kept weights of each row at the places of their keys. Where a kept one is 0, those not kept are 0 as well.
  function spread(codes, indices, kept, dense, keys) {
    for (let row = 0; row * keys < dense.length; row += 1) {
      const from = row * kept, ofRow = codes.subarray(from, from + kept);
      dense.fill(ofRow.includes(ZERO) ? ZERO : NOT_KEPT, row * keys, (row + 1) * keys);
      for (let at = 0; at < kept; at += 1) {
        if (ofRow[at] !== NOT_KEPT) dense[row * keys + indices[from + at]] = ofRow[at];
      }
    }
    return dense;
  }

  async function headMatrix(group, entry, item, head) {
    const { queries, keys } = group;
    const isHalf = entry.coding === "half", Codes = isHalf ? Uint16Array : Uint8Array;
    if (typeof entry.weights[item] === "string") return (await stacked(group, entry, item))[head];
    let codes = new Codes(await bytes(entry.weights[item][head]));
    if (entry.kept) {
      const buffer = await bytes(entry.indices[item][head]);
      const indices = entry.wide ? new Uint32Array(buffer) : new Uint16Array(buffer);
      codes = spread(codes, indices, entry.kept, new Codes(queries * keys), keys);
    }
    return new Matrix(queries, keys, codes, isHalf ? halfValues : byteValues);
  }

  async function meanMatrix(group, entry, item) {
    const sums = new Float32Array(group.queries * group.keys), best = new Uint8Array(sums.length);
    for (let head = 0; head < entry.heads.length; head += 1) {
      const { codes, values } = await headMatrix(group, entry, item, head);
      for (let i = 0; i < sums.length; i += 1) add(sums, best, i, codes[i], values);
    }
    return finished(group.queries, group.keys, sums, best, () => 1 / entry.heads.length);
  }

  // Sums count what is masked as 0, and remember whether there was a number, or what else. What is not known of a
  // part is not known of the sum.
  function add(sums, best, at, code, values) {
    if (code === NOT_KEPT || best[at] === NOT_KEPT) {
      best[at] = NOT_KEPT;
      return;
    }
    if (code === NOT_A_NUMBER) sums[at] = NaN;
    else if (code >= ZERO) sums[at] += values[code];
    if (code > best[at]) best[at] = Math.min(code, ZERO);
  }

  function finished(rows, columns, sums, best, share) {
    const codes = new Uint16Array(sums.length);
    for (let i = 0; i < sums.length; i += 1) {
      codes[i] = best[i] < ZERO ? best[i] : halfCode(sums[i] * share(Math.floor(i / columns)));
    }
    return new Matrix(rows, columns, codes, halfValues);
  }

  // Between words: the sum over the pieces of the key, and of that the mean over the pieces of the query.
  function joined(matrix, queryWords, keyWords) {
    const whole = (count) => Array.from({ length: count }, (_, at) => [at, at + 1]);
    const rows = queryWords ?? whole(matrix.rows), columns = keyWords ?? whole(matrix.columns);
    const sums = new Float32Array(rows.length * columns.length), best = new Uint8Array(sums.length);
    rows.forEach(([top, bottom], row) => columns.forEach(([left, right], column) => {
      for (let r = top; r < bottom; r += 1) {
        for (let c = left; c < right; c += 1) {
          add(sums, best, row * columns.length + column, matrix.codes[r * matrix.columns + c], matrix.values);
        }
      }
    }));
    return finished(rows.length, columns.length, sums, best, (row) => 1 / (rows[row][1] - rows[row][0]));
  }

  const ready = new Map();  // the matrices looked at last

  function remembered(key, make, most = 6) {
    if (!ready.has(key)) ready.set(key, make());
    const found = ready.get(key);
    ready.delete(key);
    ready.set(key, found);
    if (ready.size > most) ready.delete(ready.keys().next().value);
    return found;
  }

  // Of any head, whatever is shown: of one group, layer and head, never joined to words; -1: the mean.
  function headOf(app, group, layer, head) {
    const now = app.payload.groups[group], { item, together } = app.state, entry = now.entries[layer];
    return remembered([group, layer, item, head].join(), () => (head < 0 ? meanMatrix : headMatrix)(now, entry, item, head), 6 + 2 * together.length);
  }

  function matrix(app, layer, head) {
    const { group, item, words, measure, together } = app.state, most = 6 + 2 * together.length;
    const rows = words && app.words("query"), columns = words && app.words("key");
    const weights = () => headOf(app, group, layer, head);
    const pieces = () => (measure === "weight" ? weights()
      : remembered([group, layer, item, head, measure].join(), () => attentio.measures.measured(app, layer, head), most));
    if (!rows && !columns) return pieces();
    const join = async () => joined(await pieces(), rows || null, columns || null);
    return remembered([group, layer, item, head, measure, "words"].join(), join, most);
  }

  // All heads of a layer from one blob: whole, or as thumbs.
  async function heads(entry, id, rows, columns) {
    const isHalf = entry.coding === "half", buffer = await bytes(id);
    const all = isHalf ? new Uint16Array(buffer) : new Uint8Array(buffer);
    return entry.heads.map((_, head) => new Matrix(rows, columns,
      all.subarray(head * rows * columns, (head + 1) * rows * columns), isHalf ? halfValues : byteValues));
  }

  const unpacked = new WeakMap();  // of small matrices all that was looked at

  function stacked(group, entry, item) {
    if (!unpacked.has(entry)) unpacked.set(entry, []);
    return (unpacked.get(entry)[item] ??= heads(entry, entry.weights[item], group.queries, group.keys));
  }

  // All heads of a layer in small, for the overview: the matrices themselves where these are small.
  function thumbs(group, entry, item) {
    if (entry.thumbs.length) return heads(entry, entry.thumbs[item], Math.min(group.queries, 64), Math.min(group.keys, 64));
    if (typeof entry.weights[item] === "string") return stacked(group, entry, item);
    return Promise.all(entry.heads.map((_, head) => headMatrix(group, entry, item, head)));
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

  const singles = async (id) => (id ? new Float32Array(await bytes(id)) : null);

  // A vector of each query, with the largest size of any of its numbers, to which they are drawn.
  async function vector({ symbol, word, blob, features }) {
    const numbers = await singles(blob);
    const largest = numbers.reduce((most, one) => Math.max(most, Math.abs(one)), 0);
    return { symbol, word, largest, row: (query) => numbers.subarray(query * features, (query + 1) * features) };
  }

  const stage = async (one) => one && { ...one, vectors: await Promise.all(one.vectors.map(vector)) };

  // What was computed around the attention of a layer (see walk.py), or null; its comparison is as parts() are.
  async function walk({ walk: one }) {
    if (!one) return null;
    const [before, after, back] = await Promise.all([
      Promise.all(one.before.map(stage)), Promise.all(one.after.map(stage)), stage(one.back)]);
    return { ...one, before, after, back, comparison: one.comparison && await comparison(one.comparison) };
  }

  async function comparison({ kind, dimensions, window, ...blobs }) {
    const names = Object.keys(blobs), arrays = await Promise.all(names.map((name) => singles(blobs[name])));
    const [centre, decay] = await Promise.all([singles(window?.centre), singles(window?.decay)]);
    return { ...Object.fromEntries(names.map((name, at) => [name, arrays[at]])), kind, scale: kind === "dot" ? 1 : null,
      queryDimensions: dimensions.query, keyDimensions: dimensions.key, valueDimensions: dimensions.value,
      window: window && { ...window, centre, decay } };
  }

  attentio.data = { MASKED, NOT_KEPT, NOT_A_NUMBER, ZERO, Matrix, matrix, headOf, floats, singles, parts, walk, thumbs, halfValues, halfCode, joined };
})();
