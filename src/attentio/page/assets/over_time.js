/*
 * A head over a training: a slider over the moments that were kept, the map as it was then, and below it curves. Of a
 * page that has payload.time: {steps, groups}, where groups[group][layer] is {weights: [item], names of blobs
 * [steps, heads, q, k], curves: [item][head] of {evenness, largest, rule, share}} (see over_time.py).
 */
(() => {
  "use strict";

  const PACE = 450, LARGEST = 44, SMALLEST = 4, TALLEST = 560, CURVES = 150, ON_PAPER = 640; // milliseconds a moment; pixels
  const { halfCode, halfValues, Matrix } = attentio.data;

  class OverTime {
    constructor(element, app) {
      const make = app.element, { steps } = app.payload.time;
      Object.assign(this, { app, steps, at: steps.length - 1, numbers: null, timer: null });
      this.play = make("button", { type: "button", class: "icon play", key: "time.play", "aria-pressed": "false", on: { click: () => this.turn() } });
      this.slider = make("input", { type: "range", class: "moment", min: 0, max: steps.length - 1, value: this.at, labelKey: "time.slider",
        on: { input: () => { this.stop(); this.go(Number(this.slider.value)); } } });
      this.shown = make("output", {});
      this.readout = make("p", { class: "reading" });
      this.map = make("canvas", { role: "img", on: { click: (event) => this.choose(event) } });
      this.legend = make("canvas", { class: "legend", role: "img", labelKey: "legend.label" });
      this.curves = make("canvas", { class: "curves", "aria-hidden": "true" });
      this.names = make("p", { class: "curve-names" });
      this.table = make("div", { class: "numbers" });
      this.frame = make("div", { class: "framed forming" }, this.map);
      element.append(make("div", { class: "moment-bar" }, this.play, this.slider, this.shown), make("div", { class: "bar" }, this.readout),
        this.frame, this.legend, this.curves, this.names, make("p", { class: "hint", key: "time.keys" }),
        make("details", { class: "as-table" }, make("summary", { key: "time.table" }), this.table));
      new ResizeObserver(() => { if (this.numbers && app.state.view === "time") this.draw(); }).observe(this.frame);
    }

    async update() {
      const { app } = this, { group, layer, item } = app.state, name = app.payload.time.groups[group][layer].weights[item];
      if (this.name !== name) {
        this.name = name;
        const numbers = await attentio.data.floats(name);
        if (this.name !== name) return;
        this.numbers = numbers;
      }
      if (this.numbers) this.draw();
    }

    // The whole training, one moment after another; one step at a time where the reader wants no motion.
    turn() {
      if (this.timer) return this.stop();
      const last = this.steps.length - 1;
      if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.go(this.at < last ? this.at + 1 : 0);
      this.go(this.at < last ? this.at : 0);
      this.timer = setInterval(() => {
        if (this.at >= last || this.app.state.view !== "time") this.stop();
        else this.go(this.at + 1);
      }, PACE);
      this.play.setAttribute("aria-pressed", "true");
    }

    stop() {
      clearInterval(this.timer);
      this.timer = null;
      this.play.setAttribute("aria-pressed", "false");
    }

    go(at) {
      this.at = at;
      this.slider.value = String(at);
      this.draw();
    }

    // The weights of the chosen head at the chosen moment; the mean of all for none.
    matrix() {
      const { queries, keys } = this.app.group(), { head } = this.app.state, heads = this.app.entry().heads.length, size = queries * keys;
      const of = (one) => this.numbers.subarray((this.at * heads + one) * size, (this.at * heads + one + 1) * size);
      const all = Array.from({ length: heads }, (_, one) => of(one));
      const weights = head >= 0 ? of(head) : all[0].map((_, cell) => all.reduce((sum, each) => sum + each[cell], 0) / heads);
      return new Matrix(queries, keys, Uint16Array.from(weights, halfCode), halfValues);
    }

    scene() {
      const { app } = this, rows = app.pieces("query"), columns = app.pieces("key"), room = this.room();
      let cell = LARGEST;
      for (let turn = 0; turn < 3; turn += 1) { // margins depend on the cells, which depend on the margins
        const { left, top, over } = attentio.heatDrawing.layout({ rows, columns, cell });
        cell = Math.max(SMALLEST, Math.min(LARGEST, (room - left - over) / columns.length, (TALLEST - top) / rows.length));
      }
      const { left, top, over } = attentio.heatDrawing.layout({ rows, columns, cell });
      return { app, matrix: this.matrix(), rows, columns, cell, x: 0, y: 0, hover: null, ratio: devicePixelRatio || 1,
        width: Math.ceil(left + columns.length * cell + over), height: Math.ceil(top + rows.length * cell + 1) };
    }

    // Paper is narrower than most screens, and has no scroll bars.
    room() {
      const { clientWidth } = this.frame;
      return Math.max(240, this.app.state.paper ? Math.min(ON_PAPER, clientWidth) : clientWidth);
    }

    draw() {
      const { app } = this, scene = this.scene(), step = this.steps[this.at].toLocaleString("en");
      this.drawn = attentio.heatDrawing.draw(this.sized(this.map, scene.width, scene.height), scene);
      this.map.setAttribute("aria-label", app.text("time.map", { head: attentio.fullName(app), step }));
      const wide = this.room();
      attentio.colours.legendOn(this.legend, app, scene.matrix, wide);
      this.drawCurves(this.sized(this.curves, wide, CURVES), wide);
      this.shown.textContent = app.text("time.at", { step });
      this.slider.setAttribute("aria-valuetext", this.shown.textContent);
      const { row, column, words } = app.state, chosen = !words && row != null && column != null;
      this.readout.textContent = chosen ? app.text("time.cell", { step, query: app.named("query", row), key: app.named("key", column),
        value: app.number(scene.matrix.at(row, column).value) }) : app.text("time.map", { head: attentio.fullName(app), step });
      this.nameCurves();
    }

    sized(canvas, width, height) {
      const ratio = devicePixelRatio || 1, context = canvas.getContext("2d");
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      return new attentio.pen.CanvasPen(context);
    }

    // Of the chosen head, or the means over all of them, whose rules differ.
    lines() {
      const { app } = this, { group, layer, item, head } = app.state, of = app.payload.time.groups[group][layer].curves[item];
      const mean = (name) => this.steps.map((_, at) => of.reduce((sum, each) => sum + each[name][at], 0) / of.length);
      const one = head >= 0 ? of[head] : { evenness: mean("evenness"), largest: mean("largest"), rule: null };
      return [{ key: "measure.evenness", color: app.color("soft"), values: one.evenness, thick: 1.5 },
        { key: "time.largest", color: app.color("accent"), values: one.largest, thick: 1.5, marked: true },
        ...(one.rule ? [{ key: `kind.${one.rule}`, color: app.color(`kind-${one.rule.replace(" ", "-")}`), values: one.share, thick: 3 }] : [])];
    }

    drawCurves(pen, width, down = 0) {
      const { app, steps } = this, last = steps.at(-1) || 1, left = 44, right = width - 14, top = down + 10, bottom = down + CURVES - 26;
      const x = (at) => left + (steps[at] / last) * (right - left), y = (share) => bottom - share * (bottom - top);
      pen.rect(0, down, width, CURVES, app.color("panel"));
      for (const share of [0, 0.5, 1]) {
        pen.line(left, y(share), right, y(share), app.color("line"));
        pen.text(left - 6, y(share) + 4, `${100 * share} %`, { size: 11, color: app.color("soft"), align: "right" });
      }
      for (const [at, align] of [[0, "left"], [steps.length - 1, "right"]]) {
        pen.text(x(at), down + CURVES - 8, app.text("time.at", { step: steps[at].toLocaleString("en") }), { size: 11, color: app.color("soft"), align });
      }
      for (const { values, color, thick, marked } of this.lines()) {
        values.forEach((value, at) => {
          if (at) pen.line(x(at - 1), y(values[at - 1]), x(at), y(value), color, thick);
          if (marked) pen.rect(x(at) - 2.5, y(value) - 2.5, 5, 5, color);
        });
      }
      pen.line(x(this.at), top - 6, x(this.at), bottom, app.color("ink"), 1.5);
    }

    nameCurves() {
      const { app } = this, make = app.element, all = this.lines();
      this.names.replaceChildren(...all.map(({ key, color, values, thick }) => {
        const stroke = make("i", { "aria-hidden": "true" });
        stroke.style.borderTop = `${Math.ceil(thick)}px solid ${color}`;
        return make("span", {}, stroke, `${app.text(key)} ${app.percent(values[this.at])}`);
      }));
      const heading = (text) => make("th", { scope: "col", text });
      this.table.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, heading(app.text("time.updates")), ...all.map(({ key }) => heading(app.text(key))))),
        make("tbody", {}, ...this.steps.map((step, at) => make("tr", {}, make("th", { scope: "row", text: step }), ...all.map(({ values }) => make("td", { text: app.percent(values[at]) })))))));
    }

    choose(event) {
      const box = this.map.getBoundingClientRect(), { left, top, cell, matrix } = this.drawn;
      const row = Math.floor((event.clientY - box.top - top) / cell), column = Math.floor((event.clientX - box.left - left) / cell);
      if (row >= 0 && column >= 0 && row < matrix.rows && column < matrix.columns) this.app.set({ row, column, words: false });
    }

    picture() {
      if (!this.numbers) return null;
      const scene = this.scene(), width = Math.max(420, scene.width);
      return { width, height: scene.height + CURVES + 12, draw: (pen) => {
        attentio.heatDrawing.draw(pen, scene);
        this.drawCurves(pen, width, scene.height + 12);
      } };
    }
  }

  attentioViews.push({
    id: "time",
    titleKey: "time.title",
    wide: false,
    uses: ["scale"],
    available: (payload) => Boolean(payload.time),
    mount: (element, app) => new OverTime(element, app),
  });
})();
