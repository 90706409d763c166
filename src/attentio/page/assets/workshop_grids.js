/* The three grids on the screen: on one canvas, with the same pair marked in all of them, by pointer or arrow keys. */
(() => {
  "use strict";

  attentio.workshopGrids = (app, pointed) => {
    const make = app.element;
    const canvas = make("canvas", { tabindex: "0", role: "application", labelKey: "workshop.grids", "aria-describedby": "workshop-keys" });
    const element = make("div", { class: "workshop-grids" }, canvas);
    let scene = null, at = [0, 0];

    function draw() {
      if (!scene || !element.clientWidth) return;
      scene.width = element.clientWidth;
      const { width, grids } = attentio.workshopPicture.layout(scene), ratio = devicePixelRatio || 1;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(grids * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${grids}px`;
      const context = canvas.getContext("2d");
      context.scale(ratio, ratio);
      attentio.workshopPicture.draw(app, new attentio.pen.CanvasPen(context), { ...scene, at });
    }

    /** Query and key under the pointer, in any of the grids. */
    function under(event) {
      const box = canvas.getBoundingClientRect(), { cell, corners } = attentio.workshopPicture.layout(scene);
      for (const [x, y] of corners) {
        const i = Math.floor((event.clientY - box.top - y) / cell), j = Math.floor((event.clientX - box.left - x) / cell);
        if (i >= 0 && j >= 0 && i < scene.queries.length && j < scene.keys.length) return [i, j];
      }
      return null;
    }

    function point(place, say) {
      if (!place || (place[0] === at[0] && place[1] === at[1])) return;
      at = place;
      pointed(...at, say);
      draw();
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
      if (element.clientWidth === before) return;
      before = element.clientWidth;
      draw();
    }).observe(element);

    /** scene: as the picture has it, without its width and the pair. */
    function show(next) {
      scene = { ...next, width: element.clientWidth };
      at = [Math.min(at[0], scene.queries.length - 1), Math.min(at[1], scene.keys.length - 1)];
      pointed(...at, false);
      draw();
    }

    return { element, show, draw };
  };
})();
