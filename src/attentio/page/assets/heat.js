/* One head large: scroll, zoom, a map of where one is, and the weight under the pointer or the chosen cell. */
(() => {
  "use strict";

  const LARGEST = 64, COMFORTABLE = 44, IN_A_HALL = 72, READABLE = 13;

  class Heat {
    constructor(element, app) {
      Object.assign(this, { element, app, matrix: null, cell: null, hover: null, waiting: false, drag: null });
      const make = app.element;
      const button = (labelKey, text, act) => make("button", { type: "button", class: "icon", labelKey, on: { click: act } },
        make("span", { "aria-hidden": "true", text }));
      this.readout = make("p", { class: "reading" });
      this.canvas = make("canvas", { "aria-hidden": "true" });
      this.spacer = make("div", { class: "spacer" }, this.canvas);
      this.scroller = make("div", { class: "scroller", tabindex: "0", role: "application", "aria-describedby": "heat-keys" }, this.spacer);
      this.map = attentio.minimap(app, (across, down) => this.jump(across, down));
      this.legend = make("canvas", { class: "legend", role: "img", labelKey: "legend.label" });
      this.frame = make("div", { class: "framed" }, this.scroller, this.map.canvas);
      this.profile = attentio.profile(app);
      this.table = attentio.table(app);
      element.append(
        make("div", { class: "bar" }, this.readout, make("div", { class: "buttons" },
          button("heat.out", "−", () => this.zoom(1 / 1.4)), button("heat.in", "+", () => this.zoom(1.4)),
          button("heat.fit", "⤢", () => this.fit()))),
        make("div", { class: "beside" }, this.frame, this.profile.element), this.legend,
        make("p", { id: "heat-keys", class: "hint", key: "heat.keys" }), this.table.element);
      this.listen();
    }

    listen() {
      const { scroller } = this;
      attentio.goesOn(scroller);
      scroller.addEventListener("scroll", () => this.soon());
      scroller.addEventListener("keydown", (event) => this.key(event));
      scroller.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        this.zoom(2 ** (-event.deltaY / 150), event);
      }, { passive: false });
      scroller.addEventListener("pointermove", (event) => this.move(event));
      scroller.addEventListener("pointerleave", () => this.hovered(null));
      scroller.addEventListener("pointerdown", (event) => this.press(event));
      scroller.addEventListener("pointerup", (event) => this.release(event));
      new ResizeObserver(() => { if (this.matrix && this.app.state.view === "heat") this.resize(); }).observe(this.frame);
    }

    async update(changed) {
      const others = ["theme", "scale", "without", "row", "column", "language", "view", "paper", "lecture", "together"];
      const same = this.matrix && [...changed].every((name) => others.includes(name));
      if (!same) {
        const wanted = (this.wanted = this.app.matrix());
        const matrix = await wanted;
        if (wanted !== this.wanted) return;  // another one was chosen meanwhile
        const before = this.matrix;
        Object.assign(this, { matrix, hover: null, rows: this.app.tokens("query"), columns: this.app.tokens("key") });
        if (!before || before.rows !== matrix.rows || before.columns !== matrix.columns) this.cell = null;
      }
      this.scroller.setAttribute("aria-roledescription", this.app.text("heat.title"));
      this.scroller.setAttribute("aria-label", this.app.text("heat.label",
        { rows: this.matrix.rows, columns: this.matrix.columns, head: attentio.headName(this.app) }));
      this.resize();
      this.read();
      this.table.update(this.matrix);
      if (changed.has("row") || changed.has("column")) this.reveal();
      this.draw();
      attentio.colours.legendOn(this.legend, this.app, this.matrix, this.frame.clientWidth);
    }

    // The largest cells with which the whole is visible.
    fitting() {
      const { rows, columns } = this, room = this.room();
      const most = this.app.state.lecture ? IN_A_HALL : COMFORTABLE;
      let cell = most;
      for (let turn = 0; turn < 3; turn += 1) {  // margins depend on the cells, which depend on the margins
        const { left, top, over } = attentio.heatDrawing.layout({ rows, columns, cell });
        cell = Math.min(most, (room.width - left - over - 2) / columns.length, (room.height - top - 4) / rows.length);
      }
      // A few rows of a long text would else be a line too thin to see.
      return Math.max(cell, Math.min(READABLE, 160 / Math.min(rows.length, columns.length)));
    }

    // What is left of the first screen, legend included, and never too little.
    room() {
      if (this.app.state.paper) {
        const overview = document.getElementById("overview");
        return { width: Math.min(640, this.frame.clientWidth), height: Math.max(320, 760 - (overview.hidden ? 0 : overview.offsetHeight)) };
      }
      const above = this.frame.getBoundingClientRect().top + scrollY;
      const screen = attentio.screen(), left = above < screen / 2 ? screen - above - 76 : screen * 0.8;
      return { width: this.frame.clientWidth, height: Math.max(360, Math.min(left, 1000)) };
    }

    resize() {
      const room = this.room();
      if (!room.width) return;
      this.fits = this.cell === null || this.fits;
      if (this.fits) this.cell = this.fitting();
      const { left, top, over } = attentio.heatDrawing.layout(this);
      const wide = left + this.columns.length * this.cell + over, tall = top + this.rows.length * this.cell + 1;
      this.spacer.style.width = `${wide}px`;
      this.spacer.style.height = `${tall}px`;
      const overflows = wide > room.width;
      this.scroller.style.height = `${Math.min(room.height, Math.ceil(tall) + (overflows ? 16 : 0))}px`;
      const { clientWidth, clientHeight } = this.scroller;
      this.ratio = devicePixelRatio || 1;
      const most = this.app.state.paper ? [room.width, room.height] : [clientWidth, clientHeight];
      Object.assign(this, { width: Math.min(most[0], Math.ceil(wide)), height: Math.min(most[1], Math.ceil(tall)) });
      const pixels = [Math.round(this.width * this.ratio), Math.round(this.height * this.ratio)];
      // Setting even the same size empties the canvas.
      if (this.canvas.width !== pixels[0] || this.canvas.height !== pixels[1]) [this.canvas.width, this.canvas.height] = pixels;
      this.canvas.style.width = `${this.width}px`;
      this.canvas.style.height = `${this.height}px`;
      this.map.canvas.hidden = (wide <= clientWidth + 1 && tall <= clientHeight + 1) || clientHeight < 280;
      this.soon();
    }

    soon() {
      if (this.waiting) return;
      this.waiting = true;
      requestAnimationFrame(() => { this.waiting = false; this.draw(); });
    }

    scene() {
      const { app, matrix, rows, columns, cell, width, height, hover, ratio } = this;
      return { app, matrix, rows, columns, cell, width, height, hover, ratio, x: this.scroller.scrollLeft, y: this.scroller.scrollTop };
    }

    draw() {
      if (!this.matrix || !this.width) return;
      const context = this.canvas.getContext("2d");
      context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      this.drawn = attentio.heatDrawing.draw(new attentio.pen.CanvasPen(context), this.scene());
      if (!this.map.canvas.hidden) this.map.draw(this.matrix, this.drawn);
    }

    // The cell under the pointer, or null.
    under(event) {
      if (!this.drawn) return null;
      const box = this.canvas.getBoundingClientRect(), { x, y, left, top, cell } = this.drawn;
      const across = event.clientX - box.left - left, down = event.clientY - box.top - top;
      const row = Math.floor((down + y) / cell), column = Math.floor((across + x) / cell);
      const inside = across >= 0 && down >= 0 && row < this.matrix.rows && column < this.matrix.columns;
      return inside ? { row, column } : null;
    }

    hovered(cell) {
      if (cell?.row === this.hover?.row && cell?.column === this.hover?.column) return;
      this.hover = cell;
      this.read();
      this.soon();
    }

    read() {
      const { row, column } = this.hover ?? this.app.state;
      this.readout.textContent = row == null || column == null ? this.app.text("heat.start") : this.sentence(row, column);
      this.profile.update(this.matrix, row ?? 0, this);
    }

    sentence(row, column) {
      const { app } = this, { code, value } = this.matrix.at(row, column), { MASKED, NOT_KEPT, NOT_A_NUMBER } = attentio.data;
      const special = { [MASKED]: "legend.masked", [NOT_KEPT]: "legend.notKept", [NOT_A_NUMBER]: "legend.nan" }[code];
      const start = app.state.words ? 0 : app.group().queryStart;
      return app.text(attentio.measures.shown(app) === "weight" ? "heat.cell" : "heat.measured", { query: app.named("query", row), row: row + start, key: app.named("key", column),
        column, value: special ? app.text(special) : app.number(value) });
    }

    move(event) {
      if (this.drag && event.buttons) {
        this.scroller.scrollLeft = this.drag.left - (event.clientX - this.drag.x);
        this.scroller.scrollTop = this.drag.top - (event.clientY - this.drag.y);
      }
      this.hovered(this.under(event));
    }

    press(event) {
      if (event.button) return;
      const { scrollLeft: left, scrollTop: top } = this.scroller;
      this.pressed = { x: event.clientX, y: event.clientY };
      this.drag = event.pointerType === "mouse" && this.under(event) ? { ...this.pressed, left, top } : null;
    }

    release(event) {
      const { pressed } = this;
      Object.assign(this, { pressed: null, drag: null });
      if (!pressed || Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > 4) return;
      const cell = this.under(event);
      if (cell) this.app.set(cell);
    }

    // That part of the matrix comes into the middle.
    jump(across, down) {
      const { left, top, width, height, cell } = this.drawn;
      this.scroller.scrollLeft = across * this.matrix.columns * cell - (width - left) / 2;
      this.scroller.scrollTop = down * this.matrix.rows * cell - (height - top) / 2;
    }

    fit() {
      this.cell = null;
      this.resize();
    }

    // Around the pointer, or the chosen cell, or the middle of what is visible.
    zoom(factor, event) {
      const { drawn, scroller } = this, { row, column } = this.app.state;
      const least = Math.min(this.fitting(), READABLE), cell = Math.min(LARGEST, Math.max(least, this.cell * factor));
      const box = this.canvas.getBoundingClientRect();
      let across = (this.width - drawn.left) / 2, down = (this.height - drawn.top) / 2;
      if (event) [across, down] = [event.clientX - box.left - drawn.left, event.clientY - box.top - drawn.top];
      let at = [(scroller.scrollLeft + across) / this.cell, (scroller.scrollTop + down) / this.cell];
      if (!event && row != null && column != null) at = [column + 0.5, row + 0.5];
      Object.assign(this, { cell, fits: false });
      this.resize();
      scroller.scrollLeft = at[0] * cell - across;
      scroller.scrollTop = at[1] * cell - down;
      this.soon();
    }

    key(event) {
      const { app, matrix } = this, { row, column } = app.state;
      const zooms = { "+": 1.4, "=": 1.4, "-": 1 / 1.4 };
      if (zooms[event.key] && !event.ctrlKey && !event.metaKey) this.zoom(zooms[event.key]);
      else if (event.key === "0" && !event.ctrlKey && !event.metaKey) this.fit();
      else if (event.key === "Escape") app.set({ row: null, column: null });
      else {
        const page = event.ctrlKey || event.shiftKey ? 10 : 1, [r, c] = [row ?? 0, column ?? 0];
        const goal = { ArrowUp: [r - page, c], ArrowDown: [r + page, c], ArrowLeft: [r, c - page], ArrowRight: [r, c + page],
          Home: [r, 0], End: [r, matrix.columns - 1], PageUp: [0, c], PageDown: [matrix.rows - 1, c], Enter: [r, strongest(matrix, r)] }[event.key];
        if (!goal) return;
        const [next, across] = row == null && event.key.startsWith("Arrow") ? [0, 0] : goal;
        const limit = (value, count) => Math.min(count - 1, Math.max(0, value));
        this.hover = null;
        app.set({ row: limit(next, matrix.rows), column: limit(across, matrix.columns) });
        app.say(this.sentence(app.state.row, app.state.column));
      }
      event.preventDefault();
    }

    // Scroll so that the chosen cell can be seen.
    reveal() {
      const { row, column } = this.app.state, { scroller, cell } = this;
      if (row == null || column == null || !this.width) return;
      const { left, top } = attentio.heatDrawing.layout(this);
      const into = (scrolled, at, room) => Math.min(Math.max(scrolled, (at + 1) * cell - room), at * cell);
      scroller.scrollLeft = into(scroller.scrollLeft, column, this.width - left);
      scroller.scrollTop = into(scroller.scrollTop, row, this.height - top);
    }

    // All of a small matrix, what is visible of a large one; the legend below.
    picture() {
      if (!this.matrix) return null;
      let scene = { ...this.scene(), hover: null };
      if (this.matrix.rows * this.matrix.columns <= 16384) {
        const cell = Math.max(READABLE, this.cell), { left, top, over } = attentio.heatDrawing.layout({ ...scene, cell });
        scene = { ...scene, cell, x: 0, y: 0, width: left + scene.columns.length * cell + over, height: top + scene.rows.length * cell + 1 };
      }
      return { width: Math.max(scene.width, 420), height: scene.height + 44, draw: (pen) => {
        attentio.heatDrawing.draw(pen, scene);
        attentio.colours.legend(this.app, pen, this.matrix, this.app.group().keys, 12, scene.height + 12, 200);
      } };
    }
  }

  function strongest(matrix, row) {
    const from = row * matrix.columns;
    let best = 0;
    for (let column = 1; column < matrix.columns; column += 1) {
      if (matrix.codes[from + column] > matrix.codes[from + best]) best = column;
    }
    return best;
  }

  attentioViews.push({
    id: "heat",
    titleKey: "heat.title",
    wide: false,
    uses: ["scale", "words"],
    available: (payload) => payload.groups.length > 0,
    mount: (element, app) => new Heat(element, app),
  });
})();
