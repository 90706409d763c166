/*
 * Mask, scores and weights as three grids: queries down, keys across. One drawing for the screen, PNG and SVG (see pen.js).
 *
 * A scene: {queries, keys: tokens, allowed, scores, weights: each [queries][keys], at: [query, key] or null, width, code}.
 */
(() => {
  "use strict";

  const NAMES = ["mask", "scores", "weights"];
  const [SMALLEST, LARGEST, GAP, LINE] = [3, 38, 22, 16];
  const NARROW = 640; // pixels below which the grids stand one below another
  const [WITH_LABELS, WITH_NUMBERS] = [11, 34]; // pixels of a cell

  /** From one colour to another, both #rrggbb, as numbers. */
  function between(from, to, part) {
    const channel = (hex, at) => parseInt(hex.slice(2 * at + 1, 2 * at + 3), 16);
    return [0, 1, 2].map((at) => Math.round((1 - part) * channel(from, at) + part * channel(to, at)));
  }

  const widest = (tokens, size) => tokens.reduce((most, token) => Math.max(most, attentio.pen.width(token, size)), 0);

  /** Where everything stands: the size of a cell, and the left upper corner of each grid's cells. */
  function layout({ queries, keys, width, code }) {
    const stacked = width < NARROW, size = 12;
    const left = Math.min(110, widest(queries, size)) + 22; // room for ∅
    const room = stacked ? width - left : (width - left - 2 * GAP) / 3;
    const cell = Math.max(SMALLEST, Math.min(LARGEST, Math.floor(room / keys.length)));
    const across = Math.min(90, widest(keys, size)), upright = across <= cell - 3;
    const top = 26 + (cell < WITH_LABELS ? 18 : upright ? 18 : across + 8), tall = queries.length * cell;
    const corners = NAMES.map((_, at) => (stacked ? [left, top + at * (top + tall + GAP)] : [left + at * (keys.length * cell + GAP), top]));
    const [x, y] = corners.at(-1), lines = code.split("\n");
    return { cell, left, corners, upright, size, lines, width: x + keys.length * cell + 2, grids: y + tall + 6,
      height: y + tall + 10 + lines.length * LINE };
  }

  function draw(app, pen, scene) {
    const { queries, keys, allowed, scores, weights, at } = scene, { cell, left, corners, upright, size } = layout(scene);
    const [ink, soft, panel, line, accent, warm] = ["ink", "soft", "panel", "line", "accent", "warm"].map(app.color);
    const largest = Math.max(...scores.flat().map(Math.abs).filter(Number.isFinite)) || 1;
    const css = (rgb) => `rgb(${rgb.join(", ")})`;
    const written = (text, fill, colour) => ({ text, fill, ink: colour });
    const plain = (value, digits) => value.toFixed(digits).replace(/^-(?=[0.]*$)/, "").replace("-", "−");
    const looks = {
      mask: () => written("", accent, panel),
      scores: (i, j) => {
        const rgb = between(panel, scores[i][j] < 0 ? warm : accent, (0.7 * Math.abs(scores[i][j])) / largest);
        return written(plain(scores[i][j], 1), css(rgb), attentio.colours.inkOn(rgb));
      },
      weights: (i, j) => {
        const { fill, ink: colour } = attentio.colours.cell(app, { code: attentio.data.ZERO, value: weights[i][j] }, keys.length);
        return written(weights[i][j] === 0 ? "0" : plain(weights[i][j], 2), fill, colour);
      },
    };
    const edge = cell > 8 ? 1 : 0; // tiny cells touch one another

    NAMES.forEach((name, place) => {
      const [x0, y0] = corners[place];
      pen.text(x0, y0 - (corners[0][1] - 14), app.text(`workshop.${name}`), { size: 13, bold: true, color: ink });
      keys.forEach((token, j) => {
        const here = at?.[1] === j, style = { size, color: here ? accent : ink, bold: here }, x = x0 + (j + 0.5) * cell;
        if (cell < WITH_LABELS && !here) return;
        if (cell < WITH_LABELS || upright) pen.text(x, y0 - 6, attentio.pen.fitted(token, size, 90, here), { ...style, align: "center" });
        else pen.text(x + 4, y0 - 6, attentio.pen.fitted(token, size, 90, here), { ...style, angle: -90 });
      });
      allowed.forEach((row, i) => row.forEach((may, j) => {
        const [x, y] = [x0 + j * cell, y0 + i * cell], look = may ? looks[name](i, j) : null;
        if (look) pen.rect(x, y, cell - edge, cell - edge, look.fill);
        else if (cell > 8 && cell < WITH_NUMBERS) pen.line(x + cell * 0.25, y + cell * 0.75, x + cell * 0.75, y + cell * 0.25, line, 1);
        const text = look ? look.text : { mask: "", scores: "−∞", weights: "0" }[name];
        if (cell >= WITH_NUMBERS && text) pen.text(x + cell / 2, y + cell / 2 + 4, text, { size: 11, align: "center", color: look?.ink ?? soft });
      }));
      pen.frame(x0 - 1, y0 - 1, keys.length * cell + 2, queries.length * cell + 2, line);
      if (at) {
        pen.frame(x0 + at[1] * cell, y0 + at[0] * cell, cell, cell, panel, 4);
        pen.frame(x0 + at[1] * cell, y0 + at[0] * cell, cell, cell, ink, 2);
      }
      if (place && corners[place][0] !== left) return; // one set of row labels for grids side by side
      queries.forEach((token, i) => {
        const empty = !allowed[i].some(Boolean), here = at?.[0] === i, text = attentio.pen.fitted(token, size, left - 22, here);
        const y = y0 + (i + 0.5) * cell + 4;
        if (empty && cell < WITH_LABELS) pen.rect(left - 6, y - 4 - cell / 2, 4, cell, warm);
        if (cell < WITH_LABELS && !here) return;
        pen.text(left - 6, y, `${empty ? "∅ " : ""}${text}`, { size, align: "right", bold: here, color: empty ? warm : here ? accent : ink });
      });
    });
  }

  /** With the Python below, for a file. */
  function picture(app, scene) {
    const still = { ...scene, at: null, width: Math.max(900, NARROW) }, { width, height, grids, lines } = layout(still);
    return { width, height, draw(pen) {
      draw(app, pen, still);
      lines.forEach((text, at) => pen.text(0, grids + (at + 0.6) * LINE, text, { size: 12, color: app.color("ink") }));
    } };
  }

  attentio.workshopPicture = { layout, draw, picture };
})();
