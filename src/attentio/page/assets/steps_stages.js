/*
 * The steps of one query, in their order: each has a name, its equation, a glance at its outcome and a detail.
 *
 * The four lines of the equation are always among them. Of a run's model there are also the lines before and after
 * them (app.entry().walk, see walk.py), and for local attention the window and its Gaussian.
 *
 * stage: {name, says: of its words in the strings, where that is not its name, code, line: whether it is one of the attention's own, glance(state), detail(state) | null}
 * state: {app, walk, parts, trace, query, key, numbers, said}; walk is null where there is none.
 */
(() => {
  "use strict";

  const GENERAL = {
    compare: "scores  = compare(query, key)",
    mask: "scores  = mask(scores)",
    normalize: "weights = normalize(scores)",
    aggregate: "context = aggregate(weights, value)",
  };
  const largest = (values) => values.reduce((most, one) => (Math.abs(one) > most ? Math.abs(one) : most), 0);
  const { strip, row } = attentio.vectors;

  const glances = {
    project: ({ app, parts, query }) => strip(app, parts.query[query], { largest: largest(parts.query.flat()) }),
    window: ({ app, trace, parts, query }) => strip(app, inWindow(parts, query, trace.weights.length), { weights: true }),
    compare: ({ app, trace }) => strip(app, trace.scores, { largest: largest(trace.scores.filter(Number.isFinite)) }),
    mask: ({ app, trace }) =>
      strip(app, trace.masked.map((score) => (score === -Infinity ? 0 : 0.16)), { weights: true }),
    normalize: ({ app, trace }) => strip(app, trace.soft, { weights: true }),
    gaussian: ({ app, trace }) => strip(app, trace.weights, { weights: true }),
    aggregate: ({ app, trace }) => strip(app, trace.context, { largest: largest(trace.context) }),
  };

  function inWindow({ allowed, window }, query, keys) {
    const from = query * keys;
    return Array.from({ length: keys }, (_, j) =>
      !allowed || allowed[from + j] ? (window.decay ? window.decay[from + j] : 1) : 0,
    );
  }

  /** A line of the model beside the attention: its vectors, the outcome last. */
  function beside(stage) {
    const out = stage.vectors.at(-1);
    return {
      name: stage.name,
      code: stage.code,
      line: false,
      glance: ({ app, query }) => strip(app, Array.from(out.row(query)), { largest: out.largest }),
      detail: ({ app, query, said, walk }) =>
        app.element(
          "div",
          { class: "vectors" },
          ...stage.vectors.map((vector) => row(app, vector, query, { read: app.quote(walk.read[query]), said })),
        ),
    };
  }

  /** Query, and key and value of the chosen key, in this head. */
  function projectDetail({ app, parts, query, key }) {
    const tokens = { query: app.quote(app.pieces("query")[query]), key: app.quote(app.pieces("key")[key]) };
    const rows = [["q", "query", parts.query, query], ["kⱼ", "key", parts.keys, key], ["vⱼ", "value", parts.values, key]];
    const made = rows.map(([symbol, word, numbers, at]) =>
      row(app, { symbol, word, largest: largest(numbers.flat()), row: () => numbers[at] }, query, tokens),
    );
    return app.element("div", { class: "vectors given" }, ...made);
  }

  /** Where local attention looks: the keys with what their weights will be multiplied by, and the centre. */
  function windowDetail({ app, parts, query, trace }) {
    const make = app.element, { centre, decay } = parts.window;
    const factors = inWindow(parts, query, trace.weights.length);
    const columns = app.pieces("key").map((token, j) => {
      const bar = make("span", { class: "factor" });
      bar.style.height = `${100 * factors[j]}%`;
      return make(
        "li",
        { class: factors[j] ? "inside" : "", title: attentio.arithmetic.number(factors[j]) },
        make("span", { class: "column" }, bar),
        make("bdi", { text: token }),
        make("span", { class: "place", text: j }),
      );
    });
    const mark = make("li", { class: "centre", "aria-hidden": "true" }, make("span", { text: "pₜ" }));
    mark.style.left = `${(100 * (centre[query] + 0.5)) / columns.length}%`;
    const list = make("ol", { class: "window", labelKey: decay ? "steps.gaussian" : "steps.window" }, ...columns, mark);
    list.style.minWidth = `${columns.length * 22}px`;
    return make("div", { class: "framed" }, list);
  }

  function windowNumbers({ app, parts, query }) {
    const { number } = attentio.arithmetic, { centre, reach, keys, decay } = parts.window;
    const at = centre[query];
    const middle = at % 1 === 0.5 ? 2 * Math.round(at / 2) : Math.round(at); // halves to even, as torch rounds
    const first = Math.max(0, middle - reach), last = Math.min(keys - 1, middle + reach);
    const share = number(centre[query] / keys);
    const words = { keys, share, centre: number(centre[query]), middle, reach, first, last };
    if (first > last) return app.text("steps.windowEmpty", words);
    return app.text(decay ? "steps.windowP" : "steps.windowM", words);
  }

  attentio.stagesOf = (walk, parts) => {
    const codes = { ...GENERAL, ...walk?.codes };
    const lines = [
      ...(codes.project ? ["project"] : []),
      ...(parts.window ? ["window"] : []),
      "compare",
      "mask",
      "normalize",
      ...(parts.window?.decay ? ["gaussian"] : []),
      "aggregate",
    ].map((name) => ({
      name,
      says: name === "normalize" ? { 1: "softmax", 2: "sparsemax", null: "own" }[parts.alpha] ?? "entmax" : name,
      code: codes[name],
      line: name !== "window" && name !== "project",
      glance: glances[name],
      detail: { window: windowDetail, project: projectDetail }[name] ?? null,
      numbers: name === "window" ? windowNumbers : null,
    }));
    if (!walk) return lines;
    const { words, back } = attentio.stepsWords;
    return [
      ...walk.before.map(beside),
      ...lines,
      ...walk.after.map(beside),
      ...(walk.words ? [words(walk.words)] : []),
      ...(walk.back ? [back(walk.back)] : []),
    ];
  };
})();
