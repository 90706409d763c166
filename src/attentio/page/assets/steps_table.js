/* The numbers of one query, a row a key, in columns in the order of the equation; and the products of one q . k. */
(() => {
  "use strict";

  const SHOWN_FEATURES = 3; // of a value and the context
  const SHOWN_PRODUCTS = 5;
  const LONGEST_BAR = 0.25; // the weight of a full bar, at least: bars of many small weights are comparable, too

  /** The first few features; the rest is "…" in the table, and in every sum. */
  const few = (count, shown) => Array.from({ length: Math.min(count, shown) }, (_, feature) => feature);

  attentio.stepsTable = (app, choose) => {
    const make = app.element;
    const { column, number } = attentio.arithmetic;
    const rows = make("tbody", {}),
      head = make("thead", {}),
      foot = make("tfoot", {});
    const table = make(
      "table",
      { class: "keys" },
      make("caption", { class: "unseen", key: "steps.table" }),
      head,
      rows,
      foot,
    );
    const products = make("div", { class: "products", tabindex: 0 });
    const element = make("div", { class: "steps-numbers" }, make("div", { class: "framed" }, table), products);

    let pointer = ""; // a row that comes to lie under a pointer at rest was not pointed at
    const pick = (event) => {
      const place = `${event.clientX} ${event.clientY}`;
      if (event.type === "mouseover" && place === pointer) return;
      pointer = place;
      const row = event.target.closest("tbody tr");
      if (row && Number(row.dataset.key) !== chosen) choose(Number(row.dataset.key));
    };
    rows.addEventListener("mouseover", pick);
    rows.addEventListener("click", pick);
    let chosen = null;

    /** All columns, or those of this line and the one that it goes on from. */
    function wanted(columns, { open, line }) {
      if (open) return columns;
      const from = columns.findIndex((each) => each.line === line);
      return columns.filter((each, at) => each.line === line || at === from - 1);
    }

    function showHead({ line }, columns) {
      const classes = (of) => `${of === line ? "current" : ""} ${shade(of)}`;
      const lines = [...new Set(columns.map((each) => each.line))];
      const groups = lines.map((name) =>
        make("th", {
          scope: "colgroup",
          colspan: columns.filter((each) => each.line === name).length,
          class: `${classes(name)} group`,
          text: name,
        }),
      );
      head.replaceChildren(
        make("tr", {}, make("th", { scope: "col", rowspan: 2, key: "steps.key" }), ...groups),
        make("tr", {}, ...columns.map((each) => make("th", { scope: "col", class: classes(each.line), text: each.title }))),
      );
    }

    const shade = (line) => (["mask", "gaussian", "aggregate"].includes(line) ? "shaded" : "");

    /** The columns as texts, by line, each aligned at its points. */
    function columnsOf({ trace, parts }) {
      const columns = [], { compared } = trace;
      const add = (line, title, values, { sum = null, kind = "" } = {}) => {
        const texts = column([...values, sum]);
        columns.push({ line, title, kind, values, texts: texts.slice(0, -1), sum: texts.at(-1) });
      };
      const of = (get) => compared.map((one) => one && get(one));
      if (trace.known && !parts.kind) {
        add("compare", "q · k", of(({ dot }) => dot));
        add("compare", "× scale", of(({ score }) => score), { kind: trace.bias ? "" : "score" });
        if (trace.bias) add("compare", "+ bias", trace.bias);
      }
      if (parts.kind || !trace.known) add("compare", app.text("steps.score"), trace.scores, { kind: "score" });
      add("mask", app.text("steps.masked"), trace.masked, { kind: "masked" });
      if (trace.above) add("normalize", parts.alpha === 2 ? "[s − τ]₊" : "[(α − 1) s − τ]₊", trace.above);
      if (trace.exponentials) add("normalize", trace.shift ? `exp(s − ${number(trace.shift)})` : "exp(s)", trace.exponentials, { sum: trace.sum });
      const whole = trace.masked.some((score) => score > -Infinity) ? 1 : 0;
      const sum = parts.alpha === null ? trace.soft.reduce((total, weight) => total + weight, 0) : whole;
      add("normalize", app.text("steps.weight"), trace.soft, { sum, kind: "weight" });
      if (parts.window?.decay) {
        const total = trace.weights.reduce((sum, weight) => sum + weight, 0);
        add("gaussian", "× exp(−…)", trace.weights, { sum: total, kind: "weight" });
      }
      const features = few(parts.values[0].length, SHOWN_FEATURES);
      for (const feature of features) {
        const shares = trace.weights.map((weight, j) => (weight > 0 ? weight * parts.values[j][feature] : 0));
        const title = feature ? `v${feature + 1}` : `${app.text("steps.weight")} × v1`;
        add("aggregate", title, shares, { sum: trace.context[feature], kind: "share" });
      }
      const more = { line: "aggregate", title: "…", kind: "dots", values: [], texts: [], sum: "…" };
      if (parts.values[0].length > features.length) columns.push(more);
      return columns;
    }

    function cell({ line, kind, values, texts }, j, largest, reason) {
      const node = make("td", { class: `${kind} ${shade(line)}`, text: kind === "dots" ? "…" : texts[j] });
      if ((kind === "score" || kind === "share") && values[j] !== null) {
        node.classList.add(values[j] < 0 ? "below" : "above");
        node.style.setProperty("--part", `${(45 * Math.abs(values[j])) / (largest || 1)}%`);
      }
      if (kind === "weight") node.style.setProperty("--part", `${(100 * values[j]) / Math.max(largest, LONGEST_BAR)}%`);
      if (kind === "masked" && reason) {
        node.classList.add("forbidden");
        node.prepend(make("span", { class: "reason", text: app.text(`steps.short.${reason}`) }));
        node.title = app.text(`steps.reason.${reason}`);
      }
      return node;
    }

    function show(state) {
      const { key, reasons } = state;
      const tokens = app.pieces("key");
      const columns = wanted(columnsOf(state), state);
      const size = (kind) =>
        Math.max(
          0,
          ...columns
            .filter((each) => each.kind === kind)
            .flatMap((each) => each.values.map(Math.abs))
            .filter(Number.isFinite),
        );
      const largest = Object.fromEntries(["score", "weight", "share"].map((kind) => [kind, size(kind)]));
      chosen = key;
      showHead(state, columns);
      rows.replaceChildren(
        ...tokens.map((token, j) =>
          make(
            "tr",
            { "data-key": j, class: reasons[j] ? "hidden-key" : "", "aria-current": j === key && "true" },
            make("th", { scope: "row" }, make("span", { class: "place", text: j }), make("bdi", { text: token })),
            ...columns.map((each) => cell(each, j, largest[each.kind], reasons[j])),
          ),
        ),
      );
      const sums = columns.map(({ line, sum, kind }) =>
        make("td", {
          class: `${shade(line)} ${kind === "share" ? "context" : ""}`,
          text: sum,
        }),
      );
      foot.replaceChildren(make("tr", {}, make("th", { scope: "row", key: "steps.sum" }), ...sums));
      foot.hidden = columns.every(({ sum }) => !sum.trim() || sum === "…");
      products.hidden = state.line !== "compare" || !state.trace.compared[key];
      if (!products.hidden) showProducts(state, tokens[key]);
    }

    /** q . k of the chosen key, feature by feature; or v . tanh(q + k). */
    function showProducts({ trace, parts, key, query, symbols }, token) {
      const { met, products: each, dot } = trace.compared[key];
      const q = parts.query[query],
        k = parts.keys[key];
      const names = { query: symbols.query ?? "q", key: symbols.key ?? "k" };
      const features = few(q.length, SHOWN_PRODUCTS);
      const more = q.length > features.length;
      const line = (name, vector, sum = "") =>
        make(
          "tr",
          {},
          make("th", { scope: "row", text: name }),
          ...features.map((feature) => make("td", { text: number(vector[feature]) })),
          ...(more ? [make("td", { class: "dots", text: "…" })] : []),
          make("td", { class: "dot", text: sum }),
        );
      const titles = [...features.map((feature) => feature + 1), ...(more ? ["…"] : []), "Σ"];
      const sides = { query: app.quote(app.pieces("query")[query]), key: app.quote(token), features: q.length };
      const between = met
        ? [line("tanh(+)", met), line("v", parts.vector), line("v × tanh", each, number(dot))]
        : [line(`${names.query} × ${names.key}`, each, number(dot))];
      products.replaceChildren(
        make(
          "table",
          {},
          make("caption", { text: app.text("steps.products", { ...sides, q: names.query, k: names.key }) }),
          make(
            "thead",
            {},
            make("tr", {}, make("td", {}), ...titles.map((text) => make("th", { scope: "col", text }))),
          ),
          make("tbody", {}, line(names.query, q), line(names.key, k), ...between),
        ),
      );
    }

    /** Scroll the table, not the page, to the chosen key. */
    function reveal() {
      if (!element.isConnected) return;
      const row = rows.children[chosen];
      const frame = table.parentElement;
      const [above, below] = [row.offsetTop - head.offsetHeight, row.offsetTop + row.offsetHeight + foot.offsetHeight];
      frame.scrollTop = Math.max(Math.min(frame.scrollTop, above), below - frame.clientHeight);
    }

    return { element, show, reveal };
  };
})();
