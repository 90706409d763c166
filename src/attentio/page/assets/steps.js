/*
 * One query at a time (in a decoder: one output token), and of it one step after another: the four lines of the
 * equation with their numbers, and around them, of a run's own model, all from the token read to the token said.
 *
 * A step that has not been reached is covered, so that a class can guess it first.
 */
(() => {
  "use strict";

  const SHOWN_VALUES = 3; // of a vector within a line
  const NARROW = "(max-width: 900px)"; // as in steps.css: the numbers stand below their step, not beside it
  const WEIGHTS_AGREE = 0.02; // float16 scores leave less than this

  /** Rows of features as arrays. */
  function rows(flat, features) {
    const count = flat.length / features;
    return Array.from({ length: count }, (_, row) => Array.from(flat.subarray(row * features, (row + 1) * features)));
  }

  class Steps {
    constructor(element, app) {
      this.app = app;
      this.query = 0;
      this.key = 0;
      this.at = 0;
      this.open = false; // whether nothing is covered
      this.parts = null;
      this.stages = [];
      const make = app.element;
      this.missing = make("div", { class: "missing" });
      this.table = attentio.stepsTable(app, (key) => this.choose(this.query, key, { pointed: true }));
      this.list = make("ol", { class: "equation", labelKey: "steps.equation" });
      this.remarks = make("div", { class: "remarks" });
      const hint = make("p", { class: "hint", key: "steps.keys" });
      this.body = make("div", { class: "steps", tabindex: "-1" }, this.bar(), this.list, this.remarks, hint);
      element.append(this.missing, this.body);
      document.addEventListener("keydown", (event) => this.onKey(event));
    }

    bar() {
      const make = this.app.element;
      const button = (labelKey, text, act) =>
        make(
          "button",
          { type: "button", class: "icon", labelKey, on: { click: act } },
          make("span", { "aria-hidden": "true", text }),
        );
      const worded = (name, act) =>
        make("button", { type: "button", class: name, key: `steps.${name}`, on: { click: act } });
      this.slider = make("input", {
        type: "range",
        min: 0,
        value: 0,
        labelKey: "steps.query",
        on: { input: () => this.choose(Number(this.slider.value), null) },
      });
      this.where = make("output", { class: "where" });
      this.back = worded("back", () => this.retreat());
      this.next = worded("next", () => this.advance());
      this.all = worded("all", () => {
        this.open = !this.open;
        this.show();
      });
      return make(
        "div",
        { class: "steps-bar", role: "group", labelKey: "steps.query" },
        button("steps.previousQuery", "◀", () => this.choose(this.query - 1, null)),
        this.slider,
        button("steps.nextQuery", "▶", () => this.choose(this.query + 1, null)),
        this.where,
        make("span", { class: "moves" }, this.all, this.back, this.next),
      );
    }

    async load() {
      const { app } = this;
      const entry = app.entry();
      const wanted = (this.wanted = {});
      const [captured, matrix, walk] = await Promise.all([app.parts(), attentio.data.headOf(app, app.state.group, app.state.layer, app.state.head), attentio.data.walk(entry)]);
      if (this.wanted !== wanted) return; // another layer or head was chosen meanwhile
      const parts = walk?.comparison ?? captured;
      this.missing.hidden = parts !== null;
      this.body.hidden = parts === null;
      this.walk = walk;
      this.parts = parts && {
        ...parts,
        query: rows(parts.query, parts.queryDimensions),
        keys: rows(parts.key, parts.keyDimensions ?? parts.queryDimensions),
        values: rows(parts.value, parts.valueDimensions),
        captured: matrix,
        alpha: entry.alpha,
      };
      if (!parts) {
        this.explainMissing(Boolean(entry.parts));
        return;
      }
      this.build(attentio.stagesOf(walk, this.parts));
      // At first from the first query, unless a reader chose another than the page itself.
      const own = app.state.head < 0 ? null : app.does().cell;
      const chosen = !app.state.words && app.state.row !== null && (this.opened || own?.join() !== [app.state.row, app.state.column].join());
      this.opened = true;
      this.choose(chosen ? app.state.row : this.query, chosen ? app.state.column : null);
    }

    /** The list of the steps; as far as was reached where they are the same as before. */
    build(stages) {
      const same = stages.map(({ name }) => name).join() === this.stages.map(({ name }) => name).join();
      if (!same) this.at = 0;
      this.stages = stages;
      const make = this.app.element;
      this.items = stages.map((stage, at) => {
        const glance = make("span", { class: "glance" }),
          detail = make("div", { class: "detail" });
        const button = make(
          "button",
          { type: "button", on: { click: () => this.reach(at) } },
          make("span", { class: "place", text: at + 1 }),
          make("span", { class: "name", key: `steps.at.${stage.says ?? stage.name}` }),
          make("code", { text: stage.code }),
          glance,
        );
        return { item: make("li", { "data-stage": stage.name }, button, detail), button, glance, detail };
      });
      this.list.classList.toggle("papers", Boolean(this.walk)); // equations as papers write them, not as Python
      this.list.style.setProperty("--steps", stages.length);
      this.list.replaceChildren(...this.items.map(({ item }) => item));
    }

    /** Why there are no numbers, and how to get them. */
    explainMissing(mean) {
      const make = this.app.element;
      const remedy = mean
        ? make("button", { type: "button", key: "steps.firstHead", on: { click: () => this.app.set({ head: 0 }) } })
        : make(
            "pre",
            {},
            make("code", {
              text: "with at.capture(model, parts=True) as seen:\n    model(...)\nat.view(seen, tokens)",
            }),
          );
      this.missing.replaceChildren(make("p", { key: mean ? "steps.mean" : "steps.missing" }), remedy);
    }

    /** This query and key (null: the one with the largest weight). */
    choose(query, key, { pointed = false } = {}) {
      const { app, parts } = this;
      if (!parts) return;
      const turned = this.query !== query;
      this.query = Math.max(0, Math.min(parts.query.length - 1, query));
      this.slider.max = parts.query.length - 1;
      this.slider.value = this.query;
      const { scale, vector, window, alpha } = parts;
      this.trace = attentio.arithmetic.trace(this.row(this.query), { scale, vector, near: Boolean(window), alpha });
      const { weights } = this.trace;
      this.key = key === null || key >= weights.length ? Math.max(0, weights.indexOf(Math.max(...weights))) : Math.max(0, key);
      if (!app.state.words) app.set({ row: this.query, column: this.key });
      this.show();
      if (!pointed) this.table.reveal();
      const tokens = { query: app.pieces("query")[this.query], key: app.pieces("key")[this.key] };
      app.say(app.text(turned ? "steps.saidQuery" : "steps.saidKey", { ...tokens, ...this.numbers() }));
    }

    /** The query's part of the captured tensors. */
    row(query) {
      const { keys, values, scores, allowed, window } = this.parts;
      const from = query * keys.length,
        to = from + keys.length;
      return {
        query: this.parts.query[query],
        keys,
        values,
        scores: Array.from(scores.subarray(from, to)),
        allowed: allowed ? Array.from(allowed.subarray(from, to), Boolean) : keys.map(() => true),
        decay: window?.decay && Array.from(window.decay.subarray(from, to)),
        given: keys.map((_, j) => this.parts.captured.at(query, j).value || 0),
      };
    }

    reach(at) {
      this.at = at;
      this.show();
      const { button, detail } = this.items[at];
      this.app.say(`${button.querySelector(".name").textContent}: ${detail.querySelector(".with-numbers").textContent}`);
      button.scrollIntoView({ block: matchMedia(NARROW).matches ? "start" : "nearest" });
    }

    /** The next step; after the last, the first of the next query. */
    advance() {
      if (this.at + 1 < this.stages.length) {
        this.reach(this.at + 1);
      } else if (this.query + 1 < this.parts.query.length) {
        this.at = 0;
        this.choose(this.query + 1, null);
      }
    }

    /** The step before; before the first, the last of the query before. */
    retreat() {
      if (this.at > 0) {
        this.reach(this.at - 1);
      } else if (this.query > 0) {
        this.at = this.stages.length - 1;
        this.choose(this.query - 1, null);
      }
    }

    onKey(event) {
      const { app, parts } = this;
      const here = event.target === document.body || this.body.contains(event.target);
      if (app.state.view !== "steps" || !parts || !here || event.target === this.slider) return;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const act = {
        ArrowLeft: () => (event.shiftKey ? this.choose(this.query - 1, null) : this.retreat()),
        ArrowRight: () => (event.shiftKey ? this.choose(this.query + 1, null) : this.advance()),
        ArrowUp: () => this.choose(this.query, Math.max(0, this.key - 1)),
        ArrowDown: () => this.choose(this.query, Math.min(parts.keys.length - 1, this.key + 1)),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    }

    /** Why the chosen query may not attend to a key, as far as the mask itself tells; null where it may. */
    reason(key) {
      const { allowed, keys, query, window } = this.parts;
      const may = (i, j) => !allowed || Boolean(allowed[i * keys.length + j]);
      if (may(this.query, key)) return null;
      if (window) return "window";
      const group = this.app.group();
      if (!query.some((_, i) => may(i, key))) return "hidden";
      if (group.kind === "self" && key > group.queryStart + this.query) return "later";
      return group.kind === "self" && key < group.queryStart + this.query ? "reach" : "other";
    }

    numbers() {
      const number = attentio.arithmetic.number,
        { trace, key } = this;
      return {
        score: trace.scores[key] === null ? "–" : number(trace.scores[key]),
        masked: number(trace.masked[key]),
        soft: number(trace.soft[key]),
        weight: number(trace.weights[key]),
      };
    }

    /** The attention's own lines with the numbers of the chosen query and key. */
    lines() {
      const { app, trace, key, parts, walk } = this;
      const number = attentio.arithmetic.number,
        named = this.numbers();
      const one = trace.compared[key],
        reason = this.reason(key);
      const vector = (values) =>
        `(${values.slice(0, SHOWN_VALUES).map(number).join(", ")}${values.length > SHOWN_VALUES ? ", …" : ""})`;
      const sum = (values) => {
        const shown = values.slice(0, SHOWN_VALUES).map(number).join(" + ").replaceAll("+ −", "− ");
        return shown + (values.length > SHOWN_VALUES ? " + …" : "");
      };
      const compare = () => {
        if (parts.window && reason) return app.text("steps.notCompared");
        if (!one) return parts.kind === "location" ? `score = ${named.score}` : app.text("steps.notDot", named);
        if (parts.kind) return `${walk.codes.compare.split(" = ")[1]} = ${sum(one.products)} = ${named.score}`;
        const bias = trace.bias ? ` + ${number(trace.bias[key])}` : "";
        return `q · k × scale${trace.bias ? " + bias" : ""} = ${number(one.dot)} × ${number(parts.scale)}${bias} = ${named.score}`;
      };
      const centre = parts.window && number(parts.window.centre[this.query]);
      return {
        compare: compare(),
        mask: reason ? `−∞: ${app.text(`steps.reason.${reason}`)}` : app.text("steps.mayAttend", named),
        normalize: trace.masked.some((score) => score > -Infinity) ? this.normalized(named) : app.text("steps.emptyRow"),
        gaussian:
          parts.window?.decay &&
          `${named.soft} × exp(−(${key} − ${centre})² / (2 · ${number(parts.window.reach / 2)}²)) = ${named.weight}`,
        aggregate: `${named.weight} × ${vector(parts.values[key])} + … = ${vector(trace.context)}`,
      };
    }

    normalized({ masked, soft }) {
      const { number } = attentio.arithmetic, { trace, key } = this, { alpha } = this.parts;
      if (alpha === null) return `normalize(…, ${masked}, …) = ${soft}`;
      if (alpha === 1) {
        const shifted = trace.shift ? ` − ${number(trace.shift)}` : "";
        return `exp(${masked}${shifted}) / Σ exp = ${number(trace.exponentials[key])} / ${number(trace.sum)} = ${soft}`;
      }
      const scaled = alpha === 2 ? masked : `${number(alpha - 1)} × ${masked}`;
      return `[${scaled} − ${number(trace.tau)}]₊${alpha === 2 ? "" : ` ^ ${number(1 / (alpha - 1))}`} = ${soft}`;
    }

    show() {
      const { app, trace, key, parts, walk, query } = this;
      const queries = app.pieces("query");
      const token = queries[query],
        last = query + 1 >= queries.length;
      const names = { query: app.quote(token), at: query + 1, of: queries.length };
      const output = /(^|:)target$/.test(app.group().queryTokens);
      this.where.textContent = app.text(output ? "steps.outputOf" : "steps.queryOf", names);
      this.enable(this.back, this.at > 0 || query > 0);
      this.enable(this.next, this.at + 1 < this.stages.length || !last);
      this.all.setAttribute("aria-pressed", String(this.open));
      const raw = app.raw("query")[query]; // as the vocabulary has it
      const state = { app, walk, parts, trace, query, key, token: raw, said: app.quote(token), last };
      const lines = this.lines();
      this.items.forEach(({ item, button, glance, detail }, at) => {
        const stage = this.stages[at],
          covered = !this.open && at > this.at;
        item.classList.toggle("covered", covered);
        button.setAttribute("aria-pressed", String(at === this.at));
        glance.replaceChildren(...(covered ? [] : [stage.glance(state)]));
        detail.hidden = at !== this.at;
        if (detail.hidden) detail.replaceChildren();
        else this.fill(detail, stage, stage.line ? lines[stage.name] : (stage.numbers?.(state) ?? ""), state);
      });
      this.remark();
    }

    /** A disabled button that has the focus would swallow the arrow keys. */
    enable(button, may) {
      if (!may && button === document.activeElement) this.body.focus({ preventScroll: true });
      button.disabled = !may;
    }

    fill(detail, stage, numbers, state) {
      const { app, open, trace, key, parts, walk } = this;
      const words = { read: app.quote(walk?.read[this.query] ?? ""), said: state.said, layer: app.entry().layer };
      const line = (name, text) => app.element("p", { class: name, text });
      const body = stage.line ? this.table.element : stage.detail(state);
      // Moving the table would scroll it back.
      if (body.parentElement !== detail) detail.replaceChildren(body);
      for (const node of [...detail.children]) if (node !== body) node.remove();
      body.before(
        app.element("p", { class: "formula" }, app.element("code", { text: stage.code })),
        line("what", app.text(`steps.${stage.says ?? stage.name}`, words)),
        line("with-numbers", numbers),
      );
      if (!stage.line) return;
      const reasons = parts.keys.map((_, j) => this.reason(j));
      const shown = { line: stage.name, open, symbols: walk?.codes ?? {} };
      this.table.show({ trace, key, parts, query: this.query, reasons, ...shown });
      if (stage.name !== "aggregate") return;
      const { context } = trace;
      const vector = { symbol: stage.code.split(" = ")[0], word: "context", row: () => context };
      vector.largest = context.reduce((most, one) => Math.max(most, Math.abs(one)), 0);
      detail.append(app.element("div", { class: "vectors" }, attentio.vectors.row(app, vector, this.query, {})));
    }

    /** What the reader should not take on trust: weights that are not the softmax of these scores. */
    remark() {
      const { captured } = this.parts;
      const differences = this.trace.weights.map((weight, j) => Math.abs(weight - captured.at(this.query, j).value));
      const largest = Math.max(0, ...differences.filter(Number.isFinite));
      const remarks = [];
      if (largest > WEIGHTS_AGREE) remarks.push(this.app.text("steps.differs", { largest: attentio.arithmetic.number(largest) }));
      const lost = (weight, j) => Number.isNaN(weight) !== (captured.at(this.query, j).code === attentio.data.NOT_A_NUMBER);
      if (this.trace.weights.some(lost)) remarks.push(this.app.text("steps.nan"));
      if (this.trace.bias) remarks.push(this.app.text("steps.bias"));
      if (this.app.state.words) remarks.push(this.app.text("steps.pieces"));
      this.remarks.replaceChildren(...remarks.map((text) => this.app.element("p", { text })));
    }
  }

  attentioViews.push({
    id: "steps",
    titleKey: "steps.title",
    wide: true,
    uses: [],
    available: (payload) => payload.groups.length > 0,
    mount(element, app) {
      const steps = new Steps(element, app);
      const reload = ["view", "group", "layer", "head", "item", "words"];
      return {
        picture: () => (steps.parts ? attentio.stepsPicture(app, steps.body) : null),
        update(changed) {
          if (reload.some((name) => changed.has(name)) || !steps.parts) steps.load();
          else if (changed.has("language") || changed.has("theme")) steps.show();
          else if (changed.has("row") || changed.has("column")) {
            const { row, column } = app.state;
            if (row !== null && (row !== steps.query || column !== steps.key)) steps.choose(row, column);
          }
        },
      };
    },
  });
})();
