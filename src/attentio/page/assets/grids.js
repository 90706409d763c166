/* Grids (grids_picture.js) on one canvas of the screen, with a pair marked by pointer or arrow keys. */
(() => {
  "use strict";

  const ON_PAPER = 630;  // pixels: a sheet is so narrow that the grids stand one below another

  /** pointed(i, j, say): another pair is marked. labelKey, keysKey: strings of the name and of how it is used. */
  attentio.grids = (app, pointed, { labelKey, keysKey }) => {
    const make = app.element, picture = attentio.gridsPicture;
    const canvas = make("canvas", { tabindex: "0", role: "application", labelKey });
    const element = make("div", {}, make("div", { class: "grids" }, canvas), make("p", { class: "hint", key: keysKey }));
    const room = () => (app.state.paper ? Math.min(ON_PAPER, place.clientWidth) : place.clientWidth);
    const place = element.firstChild, base = document.createElement("canvas"); // all but the marks
    let scene = null, at = [0, 0];

    function draw() {
      if (!scene || !place.clientWidth) return;
      scene.width = room();
      const { width, height } = picture.layout(scene), ratio = devicePixelRatio || 1;
      for (const each of [canvas, base]) [each.width, each.height] = [Math.round(width * ratio), Math.round(height * ratio)];
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
      const context = base.getContext("2d");
      context.scale(ratio, ratio);
      picture.draw(app, new attentio.pen.CanvasPen(context), scene);
      mark();
    }

    function mark() {
      const context = canvas.getContext("2d"), ratio = devicePixelRatio || 1;
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.drawImage(base, 0, 0);
      context.scale(ratio, ratio);
      picture.marks(app, new attentio.pen.CanvasPen(context), { ...scene, at });
    }

    /** Query and key under the pointer, in any of the grids. */
    function under(event) {
      const box = canvas.getBoundingClientRect(), { cell, corners } = picture.layout(scene);
      for (const [x, y] of corners) {
        const i = Math.floor((event.clientY - box.top - y) / cell), j = Math.floor((event.clientX - box.left - x) / cell);
        if (i >= 0 && j >= 0 && i < scene.queries.length && j < scene.keys.length) return [i, j];
      }
      return null;
    }

    function point(pair, say) {
      if (!pair || (pair[0] === at[0] && pair[1] === at[1])) return;
      at = pair;
      mark();
      pointed(...at, say);
    }

    canvas.addEventListener("pointermove", (event) => point(under(event), false));
    canvas.addEventListener("pointerdown", (event) => point(under(event), false));
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step || !scene) return;
      event.preventDefault();
      const limit = (value, count) => Math.min(count - 1, Math.max(0, value));
      point([limit(at[0] + step[0], scene.queries.length), limit(at[1] + step[1], scene.keys.length)], true);
    });
    let before = 0;
    new ResizeObserver(() => {
      if (place.clientWidth === before) return;
      before = place.clientWidth;
      draw();
    }).observe(place);

    app.on((changed) => { if (changed.has("paper")) draw(); });

    /** pair: to be marked; without one that of before, as far as there is still such. */
    function show(next, pair = at) {
      scene = { ...next, width: room() };
      at = [Math.min(pair[0], scene.queries.length - 1), Math.min(pair[1], scene.keys.length - 1)];
      pointed(...at, false);
      draw();
    }

    return { element, show, draw };
  };
})();
