/* Where in a large matrix the visible part lies; clicking or dragging goes there. */
(() => {
  "use strict";

  const SIDE = 120;

  // jump(across, down): to go to that part of the matrix, from 0 to 1.
  attentio.minimap = (app, jump) => {
    const canvas = app.element("canvas", { class: "map", "aria-hidden": "true" });
    let small = null, image = null, name = "";

    function go(event) {
      const box = canvas.getBoundingClientRect();
      jump((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    }

    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); go(event); });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons) go(event); });

    function prepare(matrix) {
      const level = Math.max(0, Math.ceil(Math.log2(Math.max(matrix.rows, matrix.columns) / SIDE)));
      const tones = attentio.tones(app, matrix), wanted = tones.level(level), looks = `${app.state.theme} ${app.state.scale}`;
      if (small === wanted && name === looks) return;
      [small, name, image] = [wanted, looks, new ImageData(wanted.columns, wanted.rows)];
      const pixels = new Uint32Array(image.data.buffer), colours = attentio.colours.table(app, tones, app.group().keys);
      small.codes.forEach((code, at) => { pixels[at] = colours[code]; });
      canvas.width = small.columns;
      canvas.height = small.rows;
      const scale = SIDE / Math.max(small.columns, small.rows);
      canvas.style.width = `${Math.max(24, small.columns * scale)}px`;
      canvas.style.height = `${Math.max(24, small.rows * scale)}px`;
    }

    // scene: of the last drawing of the heat map.
    function draw(matrix, { x, y, left, top, width, height, cell }) {
      prepare(matrix);
      const context = canvas.getContext("2d");
      context.putImageData(image, 0, 0);
      context.strokeStyle = app.color("accent");
      context.lineWidth = Math.max(1, small.columns / SIDE);
      const across = small.columns / (matrix.columns * cell), down = small.rows / (matrix.rows * cell);
      const side = (room, all) => Math.max(2, Math.min(all, room) - 1);
      context.strokeRect(x * across + 0.5, y * down + 0.5, side((width - left) * across, small.columns), side((height - top) * down, small.rows));
    }

    return { canvas, draw };
  };
})();
