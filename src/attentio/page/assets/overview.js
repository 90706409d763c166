/* All layers and heads at a glance: a row for each layer, a picture for each head, one of them chosen. */
(() => {
  "use strict";

  const LARGEST = 72, SMALLEST = 22, MOST_MEAN = 2 ** 18;

  // What the chosen head is called: "layer 3, head 5".
  attentio.headName = (app, layer = app.state.layer, head = app.state.head) => {
    const entry = app.group().entries[layer];
    return app.text(head < 0 ? "head.mean" : "head.name", { layer: entry.layer, head: entry.heads[head] });
  };

  // A mean of the heads needs all of them at once, which is too much of very large ones.
  attentio.hasMean = (app) => app.entry().heads.length > 1 && app.group().queries * app.group().keys <= MOST_MEAN;

  attentio.overview = (app) => {
    const place = document.getElementById("overview");
    const make = app.element;
    const caption = make("p", { class: "hint" });
    const grid = make("div", { role: "grid", class: "grid", labelKey: "overview.title" });
    place.append(make("h2", { key: "overview.title" }), caption, grid);
    let turn = 0;

    async function draw() {
      const mine = (turn += 1), group = app.group();
      const most = Math.max(...group.entries.map((entry) => entry.heads.length));
      const room = (place.clientWidth || 300) - 60;
      const side = Math.max(SMALLEST, Math.min(LARGEST, Math.floor(room / most) - 5));
      grid.style.setProperty("--side", `${side}px`);
      caption.textContent = app.text("overview.caption",
        { layers: group.entries.length, heads: most, rows: group.queries, columns: group.keys });
      const focused = grid.contains(document.activeElement);
      grid.replaceChildren(...group.entries.map((entry, layer) => rowOf(entry, layer)));
      choose();
      if (focused) grid.querySelector("[tabindex='0']")?.focus();
      for (const [layer, entry] of group.entries.entries()) {
        const small = await attentio.data.thumbs(group, entry, app.state.item);
        if (mine !== turn) return;
        small.forEach((matrix, head) => paint(cellAt(layer, head).firstChild, matrix, group.keys, side));
      }
    }

    function rowOf(entry, layer) {
      const cells = entry.heads.map((_, head) => make("div", { role: "gridcell", tabindex: "-1", class: "thumb",
        "data-layer": layer, "data-head": head, "aria-label": attentio.headName(app, layer, head),
        title: attentio.headName(app, layer, head), on: { click: () => take(layer, head) } }, make("canvas", { "aria-hidden": "true" })));
      return make("div", { role: "row" }, make("span", { role: "rowheader", class: "layer", text: entry.layer }), ...cells);
    }

    function paint(canvas, matrix, keys, side) {
      const image = new ImageData(matrix.columns, matrix.rows), pixels = new Uint32Array(image.data.buffer);
      const colours = attentio.colours.table(app, matrix, keys);
      matrix.codes.forEach((code, at) => { pixels[at] = colours[code]; });
      canvas.width = matrix.columns;
      canvas.height = matrix.rows;
      canvas.getContext("2d").putImageData(image, 0, 0);
      const scale = side / Math.max(matrix.columns, matrix.rows);
      canvas.style.width = `${Math.max(8, matrix.columns * scale)}px`;
      canvas.style.height = `${Math.max(8, matrix.rows * scale)}px`;
    }

    const cellAt = (layer, head) => grid.querySelector(`[data-layer="${layer}"][data-head="${head}"]`);

    function take(layer, head) {
      app.set({ layer, head });
      app.say(attentio.headName(app));
    }

    function choose() {
      const { layer, head } = app.state;
      for (const cell of grid.querySelectorAll("[role=gridcell]")) {
        const chosen = Number(cell.dataset.layer) === layer && (head < 0 || Number(cell.dataset.head) === head);
        cell.setAttribute("aria-selected", String(chosen));
        cell.tabIndex = -1;
      }
      const entry = cellAt(layer, Math.max(head, 0));
      if (entry) entry.tabIndex = 0;
    }

    grid.addEventListener("keydown", (event) => {
      const { layer, head } = app.state, entries = app.group().entries, last = (at) => entries[at].heads.length - 1;
      const goal = { ArrowUp: [layer - 1, head], ArrowDown: [layer + 1, head], ArrowLeft: [layer, head - 1],
        ArrowRight: [layer, head + 1], Home: [layer, 0], End: [layer, last(layer)] }[event.key];
      if (!goal) return;
      event.preventDefault();
      const next = Math.min(entries.length - 1, Math.max(0, goal[0]));
      take(next, Math.min(last(next), Math.max(0, goal[1])));
      cellAt(app.state.layer, app.state.head).focus();
    });

    app.on((changed) => {
      if (!app.payload.groups.length) return;
      if (["group", "item", "theme", "scale", "language"].some((name) => changed.has(name))) draw();
      else if (changed.has("layer") || changed.has("head")) choose();
    });
    if (app.payload.groups.length) draw();
    new ResizeObserver(debounced(() => { if (!place.hidden && app.payload.groups.length) draw(); })).observe(place);
  };

  function debounced(act) {
    let timer = null, width = 0;
    return ([entry]) => {
      if (Math.abs(entry.contentRect.width - width) < 4) return;
      width = entry.contentRect.width;
      clearTimeout(timer);
      timer = setTimeout(act, 120);
    };
  }
})();
