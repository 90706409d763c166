/* The three grids of the workshop as a picture, for PNG and SVG (see pen.js). */
(() => {
  "use strict";

  const [CELL, SIDE, GAP] = [18, 110, 24];
  const LINE = 16; // of the mask's Python

  /** From one colour to another, both #rrggbb. */
  function between(from, to, part) {
    const channel = (hex, at) => parseInt(hex.slice(2 * at + 1, 2 * at + 3), 16);
    const mixed = [0, 1, 2].map((at) => Math.round((1 - part) * channel(from, at) + part * channel(to, at)));
    return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
  }

  attentio.workshopPicture = (app, { queries, keys, allowed, scores, weights, code }) => {
    const [ink, panel, line, accent, warm] = ["ink", "panel", "line", "accent", "warm"].map(app.color);
    const largest = Math.max(...scores.flat().map(Math.abs).filter(Number.isFinite)) || 1;
    const colours = {
      mask: () => accent,
      scores: (i, j) => between(panel, scores[i][j] < 0 ? warm : accent, (0.7 * Math.abs(scores[i][j])) / largest),
      weights: (i, j) => between(panel, accent, Math.sqrt(weights[i][j])),
    };
    const lines = code.split("\n");
    const bottom = SIDE + queries.length * CELL;
    const style = { size: 11, color: ink };
    const { fitted } = attentio.pen;

    function grid(pen, x0, name) {
      pen.text(x0, 12, app.text(`workshop.${name}`), { ...style, bold: true });
      keys.forEach((token, j) =>
        pen.text(x0 + j * CELL + 13, SIDE - 6, fitted(token, 11, 80), { ...style, angle: -90 }),
      );
      allowed.forEach((row, i) => {
        row.forEach((may, j) => {
          const [x, y] = [x0 + j * CELL, SIDE + i * CELL];
          if (may) pen.rect(x, y, CELL - 1, CELL - 1, colours[name](i, j));
          else pen.line(x + 3, y + CELL - 4, x + CELL - 4, y + 3, line, 1);
        });
      });
    }

    function draw(pen) {
      Object.keys(colours).forEach((name, at) => grid(pen, SIDE + at * (keys.length * CELL + GAP), name));
      queries.forEach((token, i) => {
        pen.text(SIDE - 6, SIDE + i * CELL + 13, fitted(token, 11, SIDE - 12), { ...style, align: "right" });
      });
      lines.forEach((text, at) => pen.text(0, bottom + (at + 1.5) * LINE, text, style));
    }

    return { width: SIDE + 3 * (keys.length * CELL + GAP), height: bottom + (lines.length + 1) * LINE, draw };
  };
})();
