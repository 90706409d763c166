/* The weights as a real table, for a screen reader or for copying; of small matrices. */
(() => {
  "use strict";

  const MOST = 4096;

  attentio.table = (app) => {
    const make = app.element;
    const place = make("div", { class: "framed numbers" });
    const element = make("details", { class: "as-table" }, make("summary", { key: "table.title" }), place);
    let matrix = null;

    function fill() {
      if (!element.open || !matrix) return;
      if (matrix.rows * matrix.columns > MOST) {
        place.replaceChildren(make("p", { key: "table.tooLarge" }));
        return;
      }
      const rows = app.tokens("query"), columns = app.tokens("key");
      const names = ["legend.masked", "legend.notKept", "legend.nan"];
      const cell = (row, column) => {
        const { code, value } = matrix.at(row, column);
        return make("td", { text: names[code] ? app.text(names[code]) : app.number(value, 2) });
      };
      const heading = (scope) => (token) => make("th", { scope }, make("bdi", { text: token }));
      place.replaceChildren(make("table", {}, make("caption", { class: "unseen", text: attentio.headName(app) }),
        make("thead", {}, make("tr", {}, make("td", {}), ...columns.map(heading("col")))),
        make("tbody", {}, ...rows.map((token, row) => make("tr", {}, heading("row")(token), ...columns.map((_, column) => cell(row, column)))))));
    }

    element.addEventListener("toggle", fill);
    return { element, update(next) { matrix = next; fill(); } };
  };
})();
