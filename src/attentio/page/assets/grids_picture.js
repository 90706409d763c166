/*
 * Grids side by side over the same queries and keys, with one pair marked in all of them: one drawing for the screen,
 * PNG and SVG (see pen.js).
 *
 * A scene: {queries, keys: tokens, grids: [{title, look}], empty, at: [query, key] or null, width}. look(i, j): {fill, ink,
 * text} of a cell, without fill where nothing stands there. empty(i): whether a query looks at nothing.
 */
(() => {
  "use strict";

  const [SMALLEST, LARGEST, GAP] = [2, 38, 22];
  const NARROW = 640; // pixels below which the grids stand one below another
  const [WITH_LABELS, WITH_NUMBERS] = [11, 34]; // pixels of a cell
  const SIZE = 12;

  const widest = (tokens) => tokens.reduce((most, token) => Math.max(most, attentio.pen.width(token, SIZE)), 0);

  /** Where everything stands: the size of a cell, and the left upper corner of each grid's cells. */
  function layout({ queries, keys, grids, width }) {
    const stacked = width < NARROW, count = grids.length;
    const left = Math.min(110, widest(queries)) + 22; // room for ∅
    const room = stacked ? width - left : (width - left - (count - 1) * GAP) / count;
    const cell = Math.max(SMALLEST, Math.min(LARGEST, Math.floor(room / keys.length)));
    const across = Math.min(90, widest(keys)), upright = across <= cell - 3;
    const top = 26 + (cell < WITH_LABELS || upright ? 18 : across + 8), tall = queries.length * cell;
    const corners = grids.map((_, at) => (stacked ? [left, top + at * (top + tall + GAP)] : [left + at * (keys.length * cell + GAP), top]));
    const [x, y] = corners.at(-1);
    return { cell, left, top, corners, upright, width: x + keys.length * cell + 2, height: y + tall + 6 };
  }

  /** All but the marks of the pair. */
  function draw(app, pen, scene) {
    const { queries, keys, grids } = scene, { cell, corners, top } = layout(scene);
    const [ink, soft, line] = ["ink", "soft", "line"].map(app.color), edge = cell > 8 ? 1 : 0; // tiny cells touch one another
    grids.forEach(({ title, look }, place) => {
      const [x0, y0] = corners[place];
      pen.text(x0, y0 - (top - 14), attentio.pen.fitted(title, 13, Math.max(120, keys.length * cell), true), { size: 13, bold: true, color: ink });
      queries.forEach((_, i) => keys.forEach((__, j) => {
        const [x, y] = [x0 + j * cell, y0 + i * cell], { fill, ink: colour, text } = look(i, j);
        if (fill) pen.rect(x, y, cell - edge, cell - edge, fill);
        else if (cell > 8 && cell < WITH_NUMBERS) pen.line(x + cell * 0.25, y + cell * 0.75, x + cell * 0.75, y + cell * 0.25, line, 1);
        if (cell >= WITH_NUMBERS && text) pen.text(x + cell / 2, y + cell / 2 + 4, text, { size: 11, align: "center", color: colour ?? soft });
      }));
      pen.frame(x0 - 1, y0 - 1, keys.length * cell + 2, queries.length * cell + 2, line);
    });
    labels(app, pen, { ...scene, at: null });
  }

  /** The tokens; of tiny cells only those of the pair. */
  function labels(app, pen, { queries, keys, at, empty, ...scene }) {
    const { cell, left, corners, upright } = layout({ queries, keys, ...scene });
    const [ink, accent, warm, panel] = ["ink", "accent", "warm", "panel"].map(app.color);
    corners.forEach(([x0, y0], place) => {
      keys.forEach((token, j) => {
        const here = at?.[1] === j, style = { size: SIZE, color: here ? accent : ink, bold: here }, x = x0 + (j + 0.5) * cell;
        if (at ? !here : cell < WITH_LABELS) return;
        const text = attentio.pen.fitted(token, SIZE, 90, here), wide = attentio.pen.width(text, SIZE, here);
        const stands = upright || ([...text].length < 2 && wide <= cell - 3); // so do letters between longer tokens
        if (here && stands) pen.rect(x - wide / 2, y0 - 19, wide, 17, panel); // over what was drawn before
        else if (here && cell >= WITH_LABELS) pen.rect(x - 8, y0 - wide - 8, 17, wide + 6, panel);
        if (cell < WITH_LABELS || stands) pen.text(x, y0 - 6, text, { ...style, align: "center" });
        else pen.text(x + 4, y0 - 6, text, { ...style, angle: -90 });
      });
      if (place && x0 !== left) return; // one set of row labels for grids side by side
      queries.forEach((token, i) => {
        const nothing = empty?.(i), here = at?.[0] === i, y = y0 + (i + 0.5) * cell + 4;
        if (nothing && cell < WITH_LABELS) pen.rect(left - 6, y - 4 - cell / 2, 4, cell, warm);
        if (at ? !here : cell < WITH_LABELS) return;
        const text = attentio.pen.fitted(token, SIZE, left - 22, here);
        if (here) pen.rect(0, y - SIZE, left - 6, SIZE + 4, panel);
        pen.text(left - 6, y, `${nothing ? "∅ " : ""}${text}`, { size: SIZE, align: "right", bold: here, color: nothing ? warm : here ? accent : ink });
      });
    });
  }

  /** The pair, in all grids, over what was drawn. */
  function marks(app, pen, scene) {
    const { cell, corners } = layout(scene), [i, j] = scene.at, [ink, panel] = ["ink", "panel"].map(app.color);
    for (const [x0, y0] of corners) {
      pen.frame(x0 + j * cell, y0 + i * cell, cell, cell, panel, 4);
      pen.frame(x0 + j * cell, y0 + i * cell, cell, cell, ink, 2);
    }
    labels(app, pen, scene);
  }

  attentio.gridsPicture = { layout, draw, marks };
})();
