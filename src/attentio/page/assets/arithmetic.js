/*
 * The equation of attentio/attention/attend.py for one query, in float64: compare, mask, normalize, aggregate.
 * And how its numbers are written: three significant digits, points below points, -inf as such.
 */
(() => {
  "use strict";

  const MINUS = "\u2212";
  const FIGURE_SPACE = "\u2007"; // as wide as a digit
  const POINT_SPACE = "\u2008"; // as wide as a point
  const LARGEST_PLAIN = 30; // exp(30) is 1e13: beyond, the largest score is taken off first

  /** score = scale * query . key, or vector . tanh(query + key), with the products that make it. */
  function compare(query, key, { scale, vector }) {
    const met = vector && Array.from(query, (value, feature) => Math.tanh(value + key[feature]));
    const products = Array.from(query, (value, feature) =>
      vector ? vector[feature] * met[feature] : value * key[feature],
    );
    const dot = products.reduce((sum, product) => sum + product, 0);
    return { met, products, dot, score: vector ? dot : dot * scale };
  }

  /** What float16 storage of query, key and score can make the score differ by at most; a bias is more than that. */
  function rounding(products, scale, score) {
    return (products.reduce((sum, product) => sum + Math.abs(product), 0) * Math.abs(scale) + Math.abs(score)) / 256;
  }

  /** weights = exp(scores) / sum of exp(scores); a row of only -inf has weights 0, and one with NaN weights NaN. */
  function normalize(scores) {
    const largest = Math.max(...scores);
    const shift = Number.isFinite(largest) && Math.abs(largest) > LARGEST_PLAIN ? largest : 0;
    const exponentials = scores.map((score) => Math.exp(score - shift));
    const sum = exponentials.reduce((total, one) => total + one, 0);
    return { shift, exponentials, sum, weights: exponentials.map((one) => (sum === 0 ? 0 : one / sum)) };
  }

  /** weights = [(alpha - 1) scores - tau]_+ ^ (1 / (alpha - 1)), with tau halved in until they sum to 1: entmax. */
  function entmax(scores, alpha) {
    const largest = (alpha - 1) * Math.max(...scores), power = 1 / (alpha - 1);
    const above = (tau) => scores.map((score) => Math.max(0, (alpha - 1) * score - tau));
    const weigh = (tau) => (largest === -Infinity ? scores.map(() => 0) : above(tau).map((one) => one ** power));
    let low = largest - 1, high = largest;
    for (let halvings = 0; halvings < 60 && high > low; halvings++) {
      const middle = (low + high) / 2;
      if (weigh(middle).reduce((total, one) => total + one, 0) >= 1) low = middle;
      else high = middle;
    }
    return { tau: low, above: above(low), weights: weigh(low) };
  }

  /** context = sum over keys of weight * value. */
  function aggregate(weights, values, features) {
    return Array.from({ length: features }, (_, feature) =>
      weights.reduce((sum, weight, key) => (weight > 0 ? sum + weight * values[key][feature] : sum), 0),
    );
  }

  /**
   * All numbers of one query's row, in the order of the equation.
   * row: {query, keys, values, scores, allowed, decay} of this query and head. how: {scale, vector, near}: scale of dot
   * products, or vector of an additive comparison, else neither; near: only allowed keys are compared at all.
   * Where scale * query . key is not the score within rounding, the difference is the bias; it is 0 otherwise.
   * decay multiplies the weights after the softmax; soft are those before. alpha: 1 for softmax, more for entmax; null
   * for another function, whose weights are given.
   */
  function trace({ query, keys, values, scores, allowed, decay, given }, how) {
    const known = how.vector || how.scale !== null;
    const compared = keys.map((key, j) => (known && (allowed[j] || !how.near) ? compare(query, key, how) : null));
    const biased = compared.some(
      (one, j) => one && Math.abs(scores[j] - one.score) > rounding(one.products, how.scale ?? 1, scores[j]),
    );
    const total = compared.map((one, j) => (one && !biased ? one.score : scores[j]));
    const masked = total.map((score, j) => (allowed[j] ? score : -Infinity));
    const weigh = { 1: normalize, null: () => ({ weights: given.map((weight, j) => (decay ? weight / decay[j] || 0 : weight)) }) }[how.alpha] ?? ((row) => entmax(row, how.alpha));
    const { weights: soft, ...normalized } = weigh(masked);
    const weights = decay ? soft.map((weight, j) => weight * decay[j]) : soft;
    return {
      known: Boolean(known),
      compared,
      bias: biased ? compared.map((one, j) => one && scores[j] - one.score) : null,
      scores: total.map((score, j) => (how.near && !allowed[j] ? null : score)),
      masked,
      ...normalized,
      soft,
      weights,
      context: aggregate(weights, values, values[0].length),
    };
  }

  const superscript = (digits) => Array.from(digits, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit] ?? "⁻").join("");

  /** A number with three significant digits: 0.123, −12.3, 4.56×10⁻⁷, −∞. */
  function number(value) {
    if (Number.isNaN(value)) return "NaN";
    if (!Number.isFinite(value)) return value > 0 ? "∞" : `${MINUS}∞`;
    if (value === 0) return "0";
    const size = Math.abs(value);
    const [digits, power] = size.toExponential(2).split("e");
    const plain = power >= -3 && power < 5;
    const text = plain ? size.toFixed(Math.max(0, 2 - power)) : `${digits}×10${superscript(power.replace("+", ""))}`;
    return value < 0 ? MINUS + text : text;
  }

  /** Numbers of a column, padded on the right so that their points stand below one another. */
  function column(values) {
    const texts = values.map((value) => (value === null ? "" : number(value)));
    const tail = (text) => (text.includes(".") ? text.length - text.indexOf(".") - 1 : -1);
    const longest = Math.max(-1, ...texts.map(tail));
    return texts.map((text) => {
      if (longest < 0 || tail(text) === longest) return text;
      return text + (tail(text) < 0 ? POINT_SPACE : "") + FIGURE_SPACE.repeat(longest - Math.max(0, tail(text)));
    });
  }

  attentio.arithmetic = { normalize, trace, number, column };
})();
