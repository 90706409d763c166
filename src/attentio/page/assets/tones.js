/*
 * What is coloured: the weights themselves; or each as a share of an even one, or of the largest of its row; and keys
 * that are left out. Numbers that are read stay what they are.
 */
(() => {
  "use strict";

  const { MASKED, NOT_KEPT, ZERO } = attentio.data;
  const OCTAVES = 3; // from an eighth of an even share to eight times it
  const SPECIAL = /^(<[^<>\s]+>|\[[A-Z]+\])$/;
  const known = new WeakMap(); // of a matrix, by scale and what is left out

  /** The keys that are left out: special tokens, or the one that gets most. */
  function leftOut(app, matrix) {
    const { without } = app.state, labels = without === "special" ? app.tokens("key") : [];
    if (without === "special") return new Set(labels.flatMap((label, at) => (SPECIAL.test(label) ? [at] : [])));
    if (without !== "sink") return new Set();
    const sums = new Float64Array(matrix.columns);
    matrix.codes.forEach((code, at) => { if (code >= ZERO) sums[at % matrix.columns] += matrix.values[code]; });
    return new Set([sums.indexOf(Math.max(...sums))]);
  }

  /** From a weight to the square of its place on the ramp, as the square-root scale undoes it. */
  function place(scale, value, even, largest) {
    if (scale === "row") return largest > 0 ? value / largest : 0;
    const octaves = Math.log2(value / even);
    return value > 0 ? Math.min(1, Math.max(0, octaves / (2 * OCTAVES) + 0.5)) ** 2 : 0;
  }

  /** A matrix of the same size to be coloured; the matrix itself where nothing is to be changed. */
  attentio.tones = (app, matrix) => {
    const { scale, without } = app.state, relative = ["even", "row"].includes(scale);
    const whole = matrix.columns === app.tokens("key").length; // and not a small picture of a large one
    const keys = whole ? leftOut(app, matrix) : new Set();
    if (!relative && !keys.size) return matrix;
    if (!known.has(matrix)) known.set(matrix, new Map());
    const ofMatrix = known.get(matrix), name = `${scale} ${whole && without} ${[...keys]}`;
    if (!ofMatrix.has(name)) ofMatrix.set(name, made(matrix, relative ? scale : null, keys));
    return ofMatrix.get(name);
  };

  function made(matrix, scale, keys) {
    const { rows, columns, values } = matrix, codes = scale ? new Uint16Array(rows * columns) : matrix.codes.slice();
    for (let row = 0; row < rows; row += 1) {
      const from = row * columns, ofRow = matrix.codes.subarray(from, from + columns);
      let largest = 0, allowed = 0;
      for (let column = 0; column < columns; column += 1) {
        if (ofRow[column] !== MASKED) allowed += 1;
        if (ofRow[column] >= ZERO && !keys.has(column)) largest = Math.max(largest, values[ofRow[column]]);
      }
      for (let column = 0; column < columns; column += 1) {
        const code = ofRow[column];
        if (keys.has(column) && code >= ZERO) codes[from + column] = NOT_KEPT;
        else if (scale) codes[from + column] = code < ZERO ? code : attentio.data.halfCode(place(scale, values[code], 1 / allowed, largest));
      }
    }
    return new attentio.data.Matrix(rows, columns, codes, scale ? attentio.data.halfValues : values);
  }
})();
