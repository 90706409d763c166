/* The answer above the views, in words: what the chosen cell says, and what its head does on this text. */
(() => {
  "use strict";

  attentio.kinds = ["aligned", "previous", "next", "self", "same token", "induction", "positional", "first", "separator",
    "even", "mixed"];

  const bar = (app, key, share) => {
    const line = app.element("span", { class: "chance", "aria-hidden": "true" }, app.element("span", {}));
    line.firstChild.style.width = `${100 * share}%`;
    return app.element("span", { class: "measure" }, app.element("span", { text: app.text(key) }),
      app.element("b", { text: app.percent(share) }), line);
  };

  attentio.badge = (app, kind, share = null) => app.element("span", { class: "badge" },
    app.element("i", { class: "dot", "data-kind": kind, "aria-hidden": "true" }),
    app.text(`kind.${kind}`) + (share ? ` ${app.percent(share)}` : ""));

  // What a head does, as a sentence.
  attentio.doesSentence = (app, does) => app.text(`does.${does.kind}`, { share: app.percent(does.share) });

  attentio.answer = (app) => {
    const place = document.getElementById("answer"), make = app.element;
    const cell = make("p", { class: "said-large" }), head = make("p", { class: "does" });
    place.append(cell, head);

    function showHead() {
      const does = app.state.head < 0 ? null : app.does();
      const name = make("span", { class: "whose", text: attentio.fullName(app) });
      head.replaceChildren(name, ...(does ? [attentio.badge(app, does.kind), make("span", { text: attentio.doesSentence(app, does) }),
        make("span", { class: "measures" }, bar(app, "measure.evenness", does.evenness), bar(app, "measure.sink", does.sink))] : []));
    }

    async function showCell() {
      const wanted = app.matrix();
      showCell.wanted = wanted;
      const matrix = await wanted, { row, column } = app.state;
      if (showCell.wanted !== wanted) return;
      const chosen = row != null && column != null && row < matrix.rows && column < matrix.columns;
      cell.hidden = !chosen;
      if (chosen) cell.textContent = sentence(app, matrix, row, column);
    }

    const show = () => { showHead(); showCell(); };
    app.on(show);
    show();
  };

  function sentence(app, matrix, row, column) {
    const { code, value } = matrix.at(row, column);
    const tokens = { query: app.quote(app.tokens("query")[row]), key: app.quote(app.tokens("key")[column]) };
    if (code === attentio.data.MASKED) return app.text("answer.masked", tokens);
    if (code < attentio.data.ZERO) return app.text(code === attentio.data.NOT_A_NUMBER ? "answer.nan" : "answer.unknown", tokens);
    const measure = attentio.measures.shown(app);
    return app.text(measure === "weight" ? "answer.cell" : `answer.${measure}`, { points: Math.round(100 * value), ...tokens, share: app.percent(value) });
  }
})();
