/*
 * What a cell may stand for besides the weight: the weight times the size of the value, or times the gradient, and the
 * rollout through the layers, each row scaled to sum to 1; and what the probability of a token loses when a token that
 * was read is erased.
 *
 * Kobayashi et al. 2020, "Attention is not only a weight"; Serrano and Smith 2019, "Is attention interpretable?"; Abnar
 * and Zuidema 2020, "Quantifying attention flow".
 */
(() => {
  "use strict";

  const { ZERO, halfCode, halfValues, Matrix } = attentio.data;
  const MOST_ROLLED = 256; // tokens: the layers are multiplied in the browser

  /** The measures that there are of a head. */
  function available(app, layer = app.state.layer, head = app.state.head) {
    const group = app.group(), square = group.kind === "self" && group.queries === group.keys && group.queryStart === 0;
    const entry = group.entries[layer];
    return ["weight", ...(entry.parts && head >= 0 ? ["value"] : []), ...(entry.gradient && head >= 0 ? ["gradient"] : []),
      ...(erasable(app) ? ["erased"] : []), ...(square && group.entries.length > 1 && group.keys <= MOST_ROLLED && !group.entries.some(({ kept }) => kept) ? ["rollout"] : [])];
  }

  /** Whether the chosen attention is from the tokens said to those of the source, which were erased one by one. */
  function erasable(app) {
    const { erased } = app.payload, { queryTokens, keyTokens, queries, keys } = app.group();
    return Boolean(erased) && queryTokens === "target" && keyTokens === "source" && queries === erased.rows && keys === erased.columns;
  }

  async function erased(app) {
    const { blob, rows, columns } = app.payload.erased, losses = await attentio.data.floats(blob);
    return new Matrix(rows, columns, Uint16Array.from(losses, (loss) => halfCode(Math.max(0, loss))), halfValues);
  }

  const ranks = (values) => {
    const order = values.map((value, at) => [value, at]).sort((a, b) => a[0] - b[0]), found = [];
    for (let from = 0; from < order.length;) { // equal values share their mean rank
      let to = from;
      while (to < order.length && order[to][0] === order[from][0]) to += 1;
      for (let at = from; at < to; at += 1) found[order[at][1]] = (from + to - 1) / 2;
      from = to;
    }
    return found;
  };

  /** Spearman's correlation of two matrices, the mean over the rows in which both have an order. */
  function agreement(one, other) {
    const found = [];
    for (let row = 0; row < one.rows; row += 1) {
      const [a, b] = [one, other].map((matrix) => ranks(Array.from({ length: matrix.columns }, (_, at) => matrix.at(row, at).value || 0)));
      const middle = (a.length - 1) / 2, product = (x, y) => x.reduce((sum, each, at) => sum + (each - middle) * (y[at] - middle), 0);
      const size = Math.sqrt(product(a, a) * product(b, b));
      if (size > 0) found.push(product(a, b) / size);
    }
    return found.length ? found.reduce((sum, each) => sum + each, 0) / found.length : NaN;
  }

  /** How far the ranks of each measure of a head agree with those of erasing: [measure, correlation]. */
  async function agreements(app) {
    const { layer, head } = app.state, truth = await erased(app), others = available(app).filter((each) => MADE[each] !== erased);
    return Promise.all(others.map(async (each) => [each, agreement(await make(app, each, layer, head), truth)]));
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

  async function byValue(app, layer, head) {
    const { group, item } = app.state, weights = await attentio.data.headOf(app, group, layer, head), { columns } = weights;
    const { value, valueDimensions: size } = await attentio.data.parts(app.group().entries[layer], item, head);
    const norms = Float64Array.from({ length: columns }, (_, key) => Math.hypot(...value.subarray(key * size, (key + 1) * size)));
    return made(weights, Float64Array.from(weights.codes, (code, at) => (code < ZERO ? 0 : weights.values[code] * norms[at % columns])));
  }

  // Above 0 already, each row as parts of its largest.
  async function byGradient(app, layer, head) {
    const [weights, parts] = await Promise.all([attentio.data.headOf(app, app.state.group, layer, head),
      attentio.data.floats(app.group().entries[layer].gradient[head])]);
    return made(weights, parts);
  }

  /** From the first layer to this one, half of each layer's mean attention and half of what goes past it. */
  async function rollout(app, layer) {
    const { group } = app.state, size = app.group().keys;
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

  /** What is measured: as chosen, as far as there is such. */
  const shown = (app, layer, head) => (available(app, layer, head).includes(app.state.measure) ? app.state.measure : "weight");

  const MADE = { weight: (app, layer, head) => attentio.data.headOf(app, app.state.group, layer, head), value: byValue, gradient: byGradient, erased, rollout };

  const make = (app, measure, layer, head) => MADE[measure](app, layer, head);

  /** The chosen measure of a layer and head. */
  const measured = (app, layer, head) => make(app, shown(app, layer, head), layer, head);

  attentio.measures = { available, shown, measured, agreements };
})();
