/* Beside the heat map: the keys that the row under the pointer, or the chosen one, looks at most. */
(() => {
  "use strict";

  const MOST = 10, LEAST = 0.001;

  attentio.profile = (app) => {
    const make = app.element;
    const heading = make("h2", {}), list = make("ol", {});
    const element = make("div", { class: "profile" }, heading, list);
    let shown = null;

    // The places of the largest weights of a row, the largest first; what is next to nothing is left out.
    function largest(matrix, row) {
      const from = row * matrix.columns, best = [];
      for (let column = 0; column < matrix.columns; column += 1) {
        const code = matrix.codes[from + column];
        if (!(matrix.values[code] >= LEAST) || (best.length === MOST && code <= best.at(-1).code)) continue;
        const at = best.findIndex((each) => code > each.code);
        best.splice(at < 0 ? best.length : at, 0, { column, code });
        best.length = Math.min(best.length, MOST);
      }
      return best;
    }

    // A token that stands there more than once is told with its position.
    function line(matrix, { column, code }, labels) {
      const value = matrix.values[code], bar = make("span", { class: "chance", "aria-hidden": "true" }, make("span", {}));
      bar.firstChild.style.width = `${Math.min(100, 100 * value)}%`;
      const token = make("span", { class: "token" }, make("bdi", { text: labels[column] }));
      if (labels.indexOf(labels[column]) !== labels.lastIndexOf(labels[column])) token.append(make("small", { text: ` ${column}` }));
      return make("li", {}, token, make("span", { class: "value", text: app.percent(value) }), bar);
    }

    function update(matrix, row, labels) {
      const key = [row, matrix.columns, app.state.language].join();
      if (shown?.matrix === matrix && shown.key === key) return;
      shown = { matrix, key };
      const best = largest(matrix, row);
      heading.textContent = app.text(attentio.measures.shown(app) === "weight" ? "profile.title" : "profile.measured", { token: app.quote(labels.rows[row]) });
      list.replaceChildren(...best.map((each) => line(matrix, each, labels.columns)));
      if (!best.length) list.append(make("li", { text: app.text("arcs.nothing") }));
    }

    return { element, update };
  };
})();
