/*
 * One head as a picture: cells, the tokens beside and above them, the chosen cell. Only what is visible is drawn.
 *
 * A scene: {app, matrix, rows, columns: labels, cell: pixels of a cell, x, y: pixels scrolled, width, height: of the
 * picture, hover: {row, column} or null}, with the layout() of its margins.
 */
(() => {
  "use strict";

  const READABLE = 11, WITH_LINES = 9, WITH_NUMBERS = 34, MOST_LABEL = 132;

  const large = () => attentio.app.state.lecture; // type for the last row of a lecture hall

  function labelSize(cell) { return large() ? Math.max(13, Math.min(24, cell * 0.6)) : Math.max(10, Math.min(14, cell * 0.55)); }

  const widths = new WeakMap();  // of the widest of some labels, at 100 pixels

  function widest(labels, size) {
    if (!widths.has(labels)) widths.set(labels, labels.reduce((most, each) => Math.max(most, attentio.pen.width(each, 100)), 0));
    return (widths.get(labels) * size) / 100;
  }

  // The margins that the tokens need at this size of cells; positions instead of tokens where cells are too small.
  function layout({ rows, columns, cell }) {
    if (cell < READABLE) return { left: 64, top: 40, over: 12, tokens: false, upright: true };
    const size = labelSize(cell);
    const across = Math.min(MOST_LABEL, widest(columns, size)), upright = across <= cell - 4;
    return { left: Math.min(MOST_LABEL, widest(rows, size)) + 18, top: upright ? 40 : across * 0.75 + 34,
      over: upright ? 6 : across * 0.75, tokens: true, upright };
  }

  // First and last visible cell along one side.
  function visible(scrolled, room, cell, count) {
    return [Math.max(0, Math.floor(scrolled / cell)), Math.min(count, Math.ceil((scrolled + room) / cell))];
  }

  let image = null;  // kept from frame to frame

  function cells(pen, scene) {
    const { app, matrix, cell, x, y, left, top, ratio } = scene;
    const wide = Math.round(Math.min(scene.width - left, matrix.columns * cell - x) * ratio);
    const tall = Math.round(Math.min(scene.height - top, matrix.rows * cell - y) * ratio);
    if (wide <= 0 || tall <= 0) return;
    const zoom = Math.max(0, Math.floor(Math.log2(1 / (cell * ratio)) + 0.5));
    const tones = attentio.tones(app, matrix), { codes, columns, rows } = tones.level(zoom);
    const colours = attentio.colours.table(app, tones, app.group().keys);
    if (!image || image.width !== wide || image.height !== tall) image = new ImageData(wide, tall);
    const pixels = new Uint32Array(image.data.buffer);
    const step = 1 / (cell * ratio * 2 ** zoom), shift = 1 / (cell * 2 ** zoom);
    const columnOf = Int32Array.from({ length: wide }, (_, at) => Math.min(columns - 1, (at + 0.5) * step + x * shift));
    let before = -1;
    for (let line = 0; line < tall; line += 1) {
      const row = Math.min(rows - 1, Math.floor((line + 0.5) * step + y * shift)), from = row * columns, to = line * wide;
      if (row === before) pixels.copyWithin(to, to - wide, to);
      else for (let at = 0; at < wide; at += 1) pixels[to + at] = colours[codes[from + columnOf[at]]];
      before = row;
    }
    pen.pixels(image, left, top, wide / ratio, tall / ratio);
  }

  // Of an SVG: cells as rectangles, which stay sharp at any size.
  function cellsAsRectangles(pen, scene) {
    const { app, matrix, cell, left, top } = scene, tones = attentio.tones(app, matrix);
    for (let row = 0; row < matrix.rows; row += 1) {
      for (let column = 0; column < matrix.columns; column += 1) {
        const { fill } = attentio.colours.cell(app, tones.at(row, column), app.group().keys);
        pen.rect(left + column * cell, top + row * cell, cell, cell, fill);
      }
    }
  }

  function insides(pen, scene, [r0, r1], [c0, c1]) {
    const { app, matrix, cell, left, top, x, y } = scene;
    const line = app.color("panel"), tones = attentio.tones(app, matrix);
    for (let row = r0; row <= r1; row += 1) {
      pen.line(left, top + row * cell - y, left + c1 * cell - x, top + row * cell - y, line);
    }
    for (let column = c0; column <= c1; column += 1) {
      pen.line(left + column * cell - x, top, left + column * cell - x, top + r1 * cell - y, line);
    }
    for (let row = r0; row < r1; row += 1) {
      for (let column = c0; column < c1; column += 1) {
        const here = matrix.at(row, column), middle = left + (column + 0.5) * cell - x, y0 = top + row * cell - y;
        if (here.code === attentio.data.MASKED) {
          pen.line(middle - cell * 0.2, y0 + cell * 0.7, middle + cell * 0.2, y0 + cell * 0.3, app.color("mark"));
        } else if (cell >= WITH_NUMBERS) {
          const text = here.code < attentio.data.ZERO ? "?" : here.value.toFixed(2).replace(/^0/, "");
          const { ink } = attentio.colours.cell(app, tones.at(row, column), app.group().keys);
          if (here.value >= 0.005) pen.text(middle, y0 + cell / 2 + 4, text, { size: large() ? Math.min(20, cell * 0.38) : 11, color: ink, align: "center" });
        }
      }
    }
  }

  function rowLabels(pen, scene, [from, to]) {
    const { app, cell, left, top, y, rows, chosen, size } = scene;
    for (let row = from; row < to; row += 1) {
      const bold = row === chosen.row, at = top + (row + 0.5) * cell - y + size * 0.36;
      const text = attentio.pen.fitted(rows[row], size, left - 16);
      pen.text(left - 8, at, text, { size, align: "right", bold, color: app.color(bold ? "accent" : "ink") });
    }
  }

  function columnLabels(pen, scene, [from, to]) {
    const { app, cell, left, top, x, columns, chosen, size, upright } = scene;
    for (let column = from; column < to; column += 1) {
      const bold = column === chosen.column, color = app.color(bold ? "accent" : "ink");
      const middle = left + (column + 0.5) * cell - x;
      const text = attentio.pen.fitted(columns[column], size, MOST_LABEL);
      // Letters stand upright between longer ones, too, but for the one that the end of such a one reaches over.
      const letter = (at) => at < 0 || ([...columns[at]].length < 2 && attentio.pen.width(columns[at], size, at === chosen.column) <= cell - 2);
      if (upright || (letter(column) && letter(column - 1))) pen.text(middle, top - 9, text, { size, align: "center", bold, color });
      else pen.text(middle + size * 0.3, top - 7, text, { size, angle: -45, bold, color });
    }
  }

  // Positions every so many cells; the chosen token is written out over them.
  function positions(pen, scene, [r0, r1], [c0, c1]) {
    const { app, cell, left, top, x, y, rows, columns, chosen } = scene;
    const every = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000].find((n) => n * cell >= 44) ?? 20000;
    const color = app.color("soft"), start = app.state.words ? 0 : app.group().queryStart;
    for (let row = Math.ceil((r0 + start) / every) * every - start; row < r1; row += every) {
      const at = top + (row + 0.5) * cell - y;
      pen.text(left - 9, at + 4, String(row + start), { size: 11, color, align: "right" });
      pen.line(left - 5, at, left, at, color);
    }
    for (let column = Math.ceil(c0 / every) * every; column < c1; column += every) {
      const at = left + (column + 0.5) * cell - x;
      pen.text(at, top - 10, String(column), { size: 11, color, align: "center" });
      pen.line(at, top - 5, at, top, color);
    }
    if (chosen.row != null && chosen.row >= r0 && chosen.row < r1) {
      chip(pen, app, 2, top + (chosen.row + 0.5) * cell - y - 9, attentio.pen.fitted(rows[chosen.row], 12, left - 14), left - 4);
    }
    if (chosen.column != null && chosen.column >= c0 && chosen.column < c1) {
      const text = attentio.pen.fitted(columns[chosen.column], 12, 120), wide = attentio.pen.width(text, 12) + 10;
      const at = left + (chosen.column + 0.5) * cell - x - wide / 2;
      chip(pen, app, Math.max(left, Math.min(at, scene.width - wide)), top - 26, text, wide);
    }
  }

  function chip(pen, app, x, y, text, wide) {
    pen.rect(x, y, wide, 18, app.color("accent"));
    pen.text(x + 5, y + 13, text, { size: 12, color: app.color("panel") });
  }

  function marks(pen, scene) {
    const { app, cell, left, top, x, y, hover } = scene, { row, column } = app.state;
    const outlined = (r, c, colour, thick) => pen.frame(left + c * cell - x, top + r * cell - y, cell, cell, colour, thick);
    // Two lines, one of which is seen on any colour.
    const twice = (r, c) => { outlined(r, c, app.color("panel"), 5); outlined(r, c, app.color("ink"), 2.5); };
    if (row != null && column != null) {
      if (cell < WITH_LINES) {
        pen.line(left, top + (row + 0.5) * cell - y, scene.width, top + (row + 0.5) * cell - y, app.color("accent"));
        pen.line(left + (column + 0.5) * cell - x, top, left + (column + 0.5) * cell - x, scene.height, app.color("accent"));
      }
      twice(row, column);
    }
    if (hover && large()) {  // a laser: the row and the column stay, the rest steps back
      const [r, c] = [top + hover.row * cell - y, left + hover.column * cell - x];
      for (const [x0, x1] of [[left, c], [c + cell, scene.width]]) {
        for (const [y0, y1] of [[top, r], [r + cell, scene.height]]) pen.veil(x0, y0, x1 - x0, y1 - y0, app.color("panel"));
      }
    }
    if (hover && cell >= 4) outlined(hover.row, hover.column, app.color("ink"), 1);
  }

  function draw(pen, given) {
    const scene = { ratio: 1, ...given, ...layout(given), size: labelSize(given.cell) };
    const { app, matrix, cell, x, y, left, top, width, height } = scene;
    scene.chosen = scene.hover ?? app.state;
    const rows = visible(y, height - top, cell, matrix.rows), columns = visible(x, width - left, cell, matrix.columns);
    pen.rect(0, 0, width, height, app.color("panel"));
    const isSvg = pen instanceof attentio.pen.SvgPen;
    if (isSvg && matrix.rows * matrix.columns <= 16384 && !x && !y) cellsAsRectangles(pen, scene);
    else cells(pen, scene);
    pen.clip(left, top, width - left, height - top, () => {
      if (cell >= WITH_LINES) insides(pen, scene, rows, columns);
      marks(pen, scene);
    });
    if (!scene.tokens) positions(pen, scene, rows, columns);
    else {
      pen.clip(0, top, left, height - top, () => rowLabels(pen, scene, rows));
      pen.clip(left, 0, width - left, top, () => columnLabels(pen, scene, columns));
    }
    if (width > 150) pen.text(8, 16, app.text("heat.axes"), { size: 11, color: app.color("soft") });
    return scene;
  }

  attentio.heatDrawing = { draw, layout };
})();
