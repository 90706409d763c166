/*
 * What a cell may stand for besides the weight: the weight times the size of the value, and the rollout through the
 * layers. Each row is scaled to sum to what its weights do: 1.
 *
 * Kobayashi et al. 2020, "Attention is not only a weight"; Abnar and Zuidema 2020, "Quantifying attention flow".
 */
(() => {
  "use strict";

  const { ZERO, halfCode, halfValues, Matrix } = attentio.data;
  const MOST_ROLLED = 256; // tokens: the layers are multiplied in the browser

  /** The measures that there are for what is chosen. */
  function available(app) {
    const group = app.group(), square = group.kind === "self" && group.queries === group.keys && group.queryStart === 0;
    return ["weight", ...(app.entry().parts && app.state.head >= 0 ? ["value"] : []),
      ...(square && group.entries.length > 1 && group.keys <= MOST_ROLLED ? ["rollout"] : [])];
  }

  /** Rows scaled to sum to 1; codes that are no numbers stay. */
  function made(like, values) {
    const { rows, columns, codes } = like, out = new Uint16Array(codes.length);
    for (let row = 0; row < rows; row += 1) {
      const from = row * columns;
      let sum = 0;
      for (let column = 0; column < columns; column += 1) if (codes[from + column] >= ZERO) sum += values[from + column];
      for (let at = from; at < from + columns; at += 1) out[at] = codes[at] < ZERO ? codes[at] : halfCode(sum > 0 ? values[at] / sum : 0);
    }
    return new Matrix(rows, columns, out, halfValues);
  }

  async function byValue(app, weights) {
    const { value, valueDimensions: size } = await app.parts(), { columns } = weights;
    const norms = Float64Array.from({ length: columns }, (_, key) => Math.hypot(...value.subarray(key * size, (key + 1) * size)));
    return made(weights, Float64Array.from(weights.codes, (code, at) => (code < ZERO ? 0 : weights.values[code] * norms[at % columns])));
  }

  /** From the first layer to the chosen one, half of each layer's mean attention and half of what goes past it. */
  async function rollout(app) {
    const { group, layer } = app.state, size = app.group().keys;
    let flow = null, last = null;
    for (let at = 0; at <= layer; at += 1) {
      last = await attentio.data.headOf(app, group, at, app.group().entries[at].heads.length > 1 ? -1 : 0);
      const step = new Float64Array(size * size);
      for (let row = 0; row < size; row += 1) {
        for (let column = 0; column < size; column += 1) {
          step[row * size + column] = 0.5 * (last.at(row, column).value || 0) + (row === column ? 0.5 : 0);
        }
      }
      flow = flow ? times(step, flow, size) : step;
    }
    return made(last, flow);
  }

  function times(left, right, size) {
    const out = new Float64Array(size * size);
    for (let row = 0; row < size; row += 1) {
      for (let middle = 0; middle < size; middle += 1) {
        const factor = left[row * size + middle];
        if (!factor) continue;
        for (let column = 0; column < size; column += 1) out[row * size + column] += factor * right[middle * size + column];
      }
    }
    return out;
  }

  /** The chosen measure of the chosen layer and head; the weights where there is no such. */
  async function measured(app, weights) {
    const wanted = available(app).includes(app.state.measure) ? app.state.measure : "weight";
    if (wanted === "value") return byValue(app, await weights);
    return wanted === "rollout" ? rollout(app) : weights;
  }

  attentio.measures = { available, measured };
})();
