/* The numbers of one query, a row a key, in columns in the order of the equation; and the products of one q . k. */
(() => {
  "use strict";

  const SHOWN_FEATURES = 3; // of a value and the context
  const SHOWN_PRODUCTS = 8;
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
    const products = make("div", { class: "products" });
    const element = make("div", { class: "steps-numbers" }, products, make("div", { class: "framed" }, table));

    const pick = (event) => {
      const row = event.target.closest("tbody tr");
      if (row && Number(row.dataset.key) !== chosen) choose(Number(row.dataset.key));
    };
    rows.addEventListener("mouseover", pick);
    rows.addEventListener("click", pick);
    let chosen = null;

    const heading = (text, stage, options = {}) =>
      make("th", { scope: "col", class: `stage-${stage}`, text, ...options });

    function showHead({ trace, parts }, features) {
      const columns = [
        ...(trace.compared[0] ? ["q · k", "× scale"] : [app.text("steps.score")]),
        ...(trace.bias ? ["+ bias"] : []),
      ].map((text) => [text, 0]);
      const more = parts.values[0].length > features.length;
      const exp = trace.shift ? `exp(s − ${number(trace.shift)})` : "exp(s)";
      columns.push([app.text("steps.masked"), 1], [exp, 2], [app.text("steps.weight"), 2]);
      columns.push(...features.map((feature) => [feature ? `v${feature + 1}` : `${app.text("steps.weight")} × v1`, 3]));
      if (more) columns.push(["…", 3]);
      const span = (stage) => columns.filter(([, at]) => at === stage).length;
      const groups = ["compare", "mask", "normalize", "aggregate"].map((name, stage) =>
        make("th", { scope: "colgroup", colspan: span(stage), class: `stage-${stage} group`, text: name }),
      );
      head.replaceChildren(
        make("tr", {}, make("th", { scope: "col", rowspan: 2, key: "steps.key" }), ...groups),
        make("tr", {}, ...columns.map(([text, stage]) => heading(text, stage))),
      );
    }

    /** The columns as texts, by stage, each aligned at its points. */
    function columnsOf({ trace, parts }, features) {
      const numbers = [];
      const add = (stage, values, sum = null, kind = "") => {
        const texts = column([...values, sum]);
        numbers.push({ stage, kind, values, texts: texts.slice(0, -1), sum: texts.at(-1) });
      };
      if (trace.compared[0])
        add(
          0,
          trace.compared.map((one) => one.dot),
        );
      if (trace.compared[0])
        add(
          0,
          trace.compared.map((one) => one.score),
          null,
          trace.bias ? "" : "score",
        );
      if (trace.bias) add(0, trace.bias);
      if (!trace.compared[0]) add(0, trace.scores, null, "score");
      add(1, trace.masked, null, "masked");
      add(2, trace.exponentials, trace.sum);
      add(2, trace.weights, trace.sum > 0 ? 1 : 0, "weight");
      for (const feature of features) {
        add(
          3,
          trace.weights.map((weight, j) => (weight > 0 ? weight * parts.values[j][feature] : 0)),
          trace.context[feature],
          "share",
        );
      }
      return numbers;
    }

    function cell({ stage, kind, values, texts }, j, largest, reason) {
      const node = make("td", { class: `stage-${stage} ${kind}`, text: texts[j] });
      if (kind === "score" || kind === "share") {
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
      const { parts, key, reasons } = state;
      const features = few(parts.values[0].length, SHOWN_FEATURES);
      const more = parts.values[0].length > features.length;
      const tokens = app.pieces("key");
      const columns = columnsOf(state, features);
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
      showHead(state, features);
      const dots = () => (more ? [make("td", { class: "stage-3 dots", text: "…" })] : []);
      rows.replaceChildren(
        ...tokens.map((token, j) =>
          make(
            "tr",
            { "data-key": j, class: reasons[j] ? "hidden-key" : "", "aria-current": j === key && "true" },
            make("th", { scope: "row" }, make("span", { class: "place", text: j + 1 }), make("bdi", { text: token })),
            ...columns.map((each) => cell(each, j, largest[each.kind], reasons[j])),
            ...dots(),
          ),
        ),
      );
      const sums = columns.map(({ stage, sum, kind }) =>
        make("td", { class: `stage-${stage} ${kind === "share" ? "context" : ""}`, text: sum }),
      );
      foot.replaceChildren(make("tr", {}, make("th", { scope: "row", key: "steps.sum" }), ...sums, ...dots()));
      showProducts(state, tokens[key]);
    }

    /** q . k of the chosen key, feature by feature. */
    function showProducts({ trace, parts, key, query }, token) {
      const one = trace.compared[key];
      const q = parts.query[query],
        k = parts.keys[key];
      products.hidden = q.length !== k.length;
      if (products.hidden) return;
      const features = few(q.length, SHOWN_PRODUCTS);
      const sides = { query: app.quote(app.pieces("query")[query]), key: app.quote(token) };
      const more = q.length > features.length;
      const line = (name, cells, sum) =>
        make(
          "tr",
          {},
          make("th", { scope: "row", text: name }),
          ...cells.map((text) => make("td", { text })),
          ...(more ? [make("td", { class: "dots", text: "…" })] : []),
          ...(one ? [make("td", { class: "dot", text: sum })] : []),
        );
      const written = (vector) => features.map((feature) => number(vector[feature]));
      const titles = [...features.map((feature) => feature + 1), ...(more ? ["…"] : []), ...(one ? ["Σ = q · k"] : [])];
      products.replaceChildren(
        make(
          "table",
          {},
          make("caption", {
            text: app.text(one ? "steps.products" : "steps.vectors", { ...sides, features: q.length }),
          }),
          make(
            "thead",
            {},
            make("tr", {}, make("td", {}), ...titles.map((text) => make("th", { scope: "col", text }))),
          ),
          make(
            "tbody",
            {},
            line("q", written(q), ""),
            line("k", written(k), ""),
            ...(one ? [line("q × k", written(one.products), number(one.dot))] : []),
          ),
        ),
      );
    }

    /** Scroll the table, not the page, to the chosen key. */
    function reveal() {
      const row = rows.children[chosen];
      const frame = table.parentElement;
      const [above, below] = [row.offsetTop - head.offsetHeight, row.offsetTop + row.offsetHeight + foot.offsetHeight];
      frame.scrollTop = Math.max(Math.min(frame.scrollTop, above), below - frame.clientHeight);
    }

    return { element, show, reveal };
  };
})();
