/*
 * Decoding one token (or self-attention one query) at a time: the four lines of the equation with their numbers.
 *
 * The lines are the stages. A stage that has not been reached yet is not shown, so that a class can guess it first.
 */
(() => {
  "use strict";

  const STAGES = [
    ["compare", "scores  = compare(query, key)"],
    ["mask", "scores  = mask(scores)"],
    ["normalize", "weights = normalize(scores)"],
    ["aggregate", "context = aggregate(weights, value)"],
  ];
  const LAST = STAGES.length - 1;
  const SHOWN_VALUES = 3; // of a vector within a line
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
      this.stage = LAST;
      this.parts = null;
      this.missing = app.element("div", { class: "missing" });
      this.table = attentio.stepsTable(app, (key) => this.choose(this.query, key, { pointed: true }));
      this.lines = STAGES.map(([stage, code], at) => this.line(stage, code, at));
      this.remarks = app.element("div", { class: "remarks" });
      this.body = app.element(
        "div",
        { class: "steps" },
        this.bar(),
        app.element("ol", { class: "equation", labelKey: "steps.equation" }, ...this.lines.map(({ item }) => item)),
        this.remarks,
        this.table.element,
        app.element("p", { class: "hint", key: "steps.keys" }),
      );
      element.append(this.missing, this.body);
      this.body.addEventListener("keydown", (event) => this.onKey(event));
    }

    bar() {
      const make = this.app.element;
      const button = (labelKey, text, act) =>
        make(
          "button",
          { type: "button", class: "icon", labelKey, on: { click: act } },
          make("span", { "aria-hidden": "true", text }),
        );
      this.slider = make("input", {
        type: "range",
        min: 0,
        value: 0,
        labelKey: "steps.query",
        on: { input: () => this.choose(Number(this.slider.value), null) },
      });
      this.where = make("output", { class: "where" });
      this.next = make("button", {
        type: "button",
        class: "next",
        key: "steps.next",
        on: { click: () => this.advance() },
      });
      return make(
        "div",
        { class: "steps-bar", role: "group", labelKey: "steps.query" },
        button("steps.previousQuery", "◀", () => this.choose(this.query - 1, null)),
        this.slider,
        button("steps.nextQuery", "▶", () => this.choose(this.query + 1, null)),
        this.where,
        this.next,
      );
    }

    line(stage, code, at) {
      const make = this.app.element;
      const numbers = make("span", { class: "with-numbers" });
      const button = make(
        "button",
        { type: "button", on: { click: () => this.reach(at) } },
        make("code", { text: code }),
        make("span", { class: "what", key: `steps.${stage}` }),
        numbers,
      );
      return { item: make("li", { class: `stage-${at}` }, button), button, numbers };
    }

    async load() {
      const { app } = this;
      const entry = app.entry();
      const wanted = (this.wanted = {});
      const [parts, matrix] = await Promise.all([app.parts(), app.matrix()]);
      if (this.wanted !== wanted) return; // another layer or head was chosen meanwhile
      this.missing.hidden = parts !== null;
      this.body.hidden = parts === null;
      this.parts = parts && {
        ...parts,
        query: rows(parts.query, parts.queryDimensions),
        keys: rows(parts.key, parts.queryDimensions),
        values: rows(parts.value, parts.valueDimensions),
        captured: app.state.words ? null : matrix,
      };
      if (!parts) this.explainMissing(Boolean(entry.parts));
      else
        this.choose(
          app.state.words ? this.query : (app.state.row ?? this.query),
          app.state.words ? null : app.state.column,
        );
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
      this.trace = attentio.arithmetic.trace(this.row(this.query), parts.scale);
      const { weights } = this.trace;
      this.key = key === null || key >= weights.length ? weights.indexOf(Math.max(...weights)) : Math.max(0, key);
      if (!app.state.words) app.set({ row: this.query, column: this.key });
      this.show();
      if (!pointed) this.table.reveal();
      const tokens = { query: app.pieces("query")[this.query], key: app.pieces("key")[this.key] };
      app.say(app.text(turned ? "steps.saidQuery" : "steps.saidKey", { ...tokens, ...this.numbers() }));
    }

    /** The query's part of the captured tensors. */
    row(query) {
      const { keys, values, scores, allowed } = this.parts;
      const from = query * keys.length,
        to = from + keys.length;
      return {
        query: this.parts.query[query],
        keys,
        values,
        scores: Array.from(scores.subarray(from, to)),
        allowed: allowed ? Array.from(allowed.subarray(from, to), Boolean) : keys.map(() => true),
      };
    }

    reach(stage) {
      this.stage = stage;
      this.show();
      this.app.say(`${this.lines[stage].button.textContent}`);
    }

    /** The next stage; after the last, the first of the next query. */
    advance() {
      if (this.stage < LAST) {
        this.reach(this.stage + 1);
      } else if (this.query + 1 < this.parts.query.length) {
        this.stage = 0;
        this.choose(this.query + 1, null);
      }
    }

    onKey(event) {
      if (event.target === this.slider || event.ctrlKey || event.metaKey || event.altKey) return;
      const act = {
        ArrowLeft: () => this.choose(this.query - 1, null),
        ArrowRight: () => this.choose(this.query + 1, null),
        ArrowUp: () => this.choose(this.query, Math.max(0, this.key - 1)),
        ArrowDown: () => this.choose(this.query, Math.min(this.parts.keys.length - 1, this.key + 1)),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    }

    /** Why the chosen query may not attend to a key, as far as the mask itself tells; null where it may. */
    reason(key) {
      const { allowed, keys, query } = this.parts;
      const may = (i, j) => !allowed || Boolean(allowed[i * keys.length + j]);
      if (may(this.query, key)) return null;
      const group = this.app.group();
      if (!query.some((_, i) => may(i, key))) return "hidden";
      if (group.kind === "self" && key > group.queryStart + this.query) return "later";
      return group.kind === "self" && key < group.queryStart + this.query ? "reach" : "other";
    }

    numbers() {
      const number = attentio.arithmetic.number,
        { trace, key } = this;
      return {
        score: number(trace.scores[key]),
        masked: number(trace.masked[key]),
        exp: number(trace.exponentials[key]),
        sum: number(trace.sum),
        weight: number(trace.weights[key]),
        shift: number(trace.shift),
      };
    }

    show() {
      const { app, trace, key, parts } = this;
      const number = attentio.arithmetic.number,
        named = this.numbers();
      const group = app.group(),
        queries = app.pieces("query");
      const names = { query: app.quote(queries[this.query]), at: this.query + 1, of: queries.length };
      this.where.textContent = app.text(group.kind === "cross" ? "steps.outputOf" : "steps.queryOf", names);
      this.next.disabled = this.stage === LAST && this.query + 1 >= parts.query.length;
      this.body.dataset.stage = this.stage;
      this.lines.forEach(({ button }, at) => button.setAttribute("aria-pressed", String(at === this.stage)));

      const one = trace.compared[key],
        reason = this.reason(key);
      const vector = (values) =>
        `(${values.slice(0, SHOWN_VALUES).map(number).join(", ")}${values.length > SHOWN_VALUES ? ", …" : ""})`;
      const compared = one
        ? `q · k × scale${trace.bias ? " + bias" : ""} = ${number(one.dot)} × ${number(parts.scale)}${trace.bias ? ` + ${number(trace.bias[key])}` : ""} = ${named.score}`
        : app.text("steps.notDot", named);
      const masked = reason ? `−∞: ${app.text(`steps.reason.${reason}`)}` : app.text("steps.mayAttend", named);
      const shifted = trace.shift ? ` − ${named.shift}` : "";
      const normalized =
        trace.sum === 0
          ? app.text("steps.emptyRow")
          : `exp(${named.masked}${shifted}) / Σ exp = ${named.exp} / ${named.sum} = ${named.weight}`;
      const aggregated = `${named.weight} × ${vector(parts.values[key])} + … = ${vector(trace.context)}`;
      [compared, masked, normalized, aggregated].forEach((text, at) => {
        this.lines[at].numbers.textContent = text;
      });
      this.table.show({ trace, key, parts, query: this.query, reasons: parts.keys.map((_, j) => this.reason(j)) });
      this.remark();
    }

    /** What the reader should not take on trust: weights that are not the softmax of these scores. */
    remark() {
      const { captured } = this.parts;
      const differences = captured
        ? this.trace.weights.map((weight, j) => Math.abs(weight - captured.at(this.query, j).value))
        : [];
      const largest = Math.max(0, ...differences.filter(Number.isFinite));
      const remarks =
        largest > WEIGHTS_AGREE
          ? [this.app.text("steps.differs", { largest: attentio.arithmetic.number(largest) })]
          : [];
      if (this.trace.bias) remarks.push(this.app.text("steps.bias"));
      if (this.app.state.words) remarks.push(this.app.text("steps.pieces"));
      this.remarks.replaceChildren(...remarks.map((text) => this.app.element("p", { text })));
    }
  }

  attentioViews.push({
    id: "steps",
    titleKey: "steps.title",
    wide: true,
    available: (payload) => payload.groups.length > 0,
    mount(element, app) {
      const steps = new Steps(element, app);
      const reload = ["view", "group", "layer", "head", "item", "words"];
      return {
        picture: () => (steps.parts ? attentio.stepsPicture(app, steps.body) : null),
        update(changed) {
          if (reload.some((name) => changed.has(name)) || !steps.parts) steps.load();
          else if (changed.has("language")) steps.show();
          else if (changed.has("row") || changed.has("column")) {
            const { row, column } = app.state;
            if (row !== null && (row !== steps.query || column !== steps.key)) steps.choose(row, column);
          }
        },
      };
    },
  });
})();
