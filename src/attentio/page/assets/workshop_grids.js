/* Mask, scores and weights side by side: queries down, keys across, the same pair marked in all three. */
(() => {
  "use strict";

  const NAMES = ["mask", "scores", "weights"];
  const LABELS = 130; // pixels that the tokens of the rows and the gaps take
  const LEAST_WIDTH = 700; // pixels of all cells; narrower screens scroll
  const [SMALLEST, LARGEST] = [6, 38];
  const SIZES = [
    [34, "large"],
    [16, "middle"],
    [10, "small"],
    [0, "tiny"],
  ]; // where a cell has more than so many pixels

  attentio.workshopGrids = (app, pointed) => {
    const make = app.element;
    const element = make("div", { class: "workshop-grids" });
    let cells = [],
      headings = [],
      sides = [],
      at = [0, 0];

    /** Build the three tables anew, for these tokens. */
    function build(queryTokens, keyTokens) {
      const width = Math.max(LEAST_WIDTH, element.clientWidth - LABELS);
      const room = Math.floor(width / NAMES.length / keyTokens.length);
      const cell = Math.max(SMALLEST, Math.min(LARGEST, room > 10 ? room - 1 : room)); // tiny ones touch each other
      const size = SIZES.find(([less]) => Math.max(room, SMALLEST) > less)[1];
      element.style.setProperty("--cell", `${cell}px`);
      at = [0, 0];
      headings = NAMES.map(() =>
        keyTokens.map((token) => make("th", { scope: "col" }, make("bdi", { text: token, title: token }))),
      );
      sides = NAMES.map(() =>
        queryTokens.map((token) => make("th", { scope: "row" }, make("bdi", { text: token, title: token }))),
      );
      cells = NAMES.map(() => queryTokens.map(() => keyTokens.map(() => document.createElement("td"))));
      element.replaceChildren(
        ...NAMES.map((name, grid) =>
          make(
            "table",
            { class: `${name} ${size}`, role: "grid", "data-grid": grid },
            make("caption", { key: `workshop.${name}` }),
            make("thead", {}, make("tr", {}, make("td", {}), ...headings[grid])),
            make("tbody", {}, ...queryTokens.map((_, i) => make("tr", {}, sides[grid][i], ...cells[grid][i]))),
          ),
        ),
      );
      cells[0].forEach((row) =>
        row.forEach((cell) => {
          cell.tabIndex = -1;
        }),
      );
      if (cells[0][0]?.[0]) cells[0][0][0].tabIndex = 0;
    }

    function placeOf(cell) {
      const row = cell.parentElement;
      return [row.rowIndex - 1, cell.cellIndex - 1];
    }

    function mark(i, j, on) {
      for (const grid of NAMES.keys()) {
        cells[grid][i]?.[j]?.classList.toggle("pointed", on);
        headings[grid][j]?.classList.toggle("pointed", on);
        sides[grid][i]?.classList.toggle("pointed", on);
      }
    }

    function point(i, j) {
      mark(...at, false);
      if (cells[0][at[0]]?.[at[1]]) cells[0][at[0]][at[1]].tabIndex = -1;
      at = [i, j];
      mark(i, j, true);
      cells[0][i][j].tabIndex = 0;
      pointed(i, j);
    }

    const over = (event) => {
      const cell = event.target.closest("tbody td");
      if (cell) point(...placeOf(cell));
    };
    element.addEventListener("mouseover", over);
    element.addEventListener("focusin", over);
    element.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step || !event.target.closest("td")) return;
      event.preventDefault();
      cells[0][at[0] + step[0]]?.[at[1] + step[1]]?.focus();
    });

    const bounded = (value, most) => Math.min(1, Math.abs(value) / (most || 1));
    const inCell = (value, digits) =>
      value
        .toFixed(digits)
        .replace(/^-(?=[0.]*$)/, "")
        .replace("-", "−");

    /** Write the numbers: allowed, scores before the mask, weights; each [queries][keys]. */
    function show({ allowed, scores, weights }) {
      const largest = Math.max(...scores.flat().map(Math.abs).filter(Number.isFinite));
      allowed.forEach((row, i) => {
        for (const grid of NAMES.keys()) sides[grid][i].classList.toggle("empty", !row.some(Boolean));
        row.forEach((may, j) => {
          const [mask, score, weight] = NAMES.map((_, grid) => cells[grid][i][j]);
          for (const cell of [mask, score, weight]) cell.classList.toggle("forbidden", !may);
          mask.textContent = may ? "■" : "·";
          score.textContent = may ? inCell(scores[i][j], 1) : "−∞";
          score.classList.toggle("negative", may && scores[i][j] < 0);
          score.style.setProperty("--part", `${65 * bounded(scores[i][j], largest)}%`);
          weight.textContent = weights[i][j] === 0 ? "0" : inCell(weights[i][j], 2);
          weight.classList.toggle("strong", weights[i][j] > 0.35);
          weight.style.setProperty("--part", `${100 * Math.sqrt(weights[i][j])}%`);
        });
      });
      if (cells[0][at[0]]?.[at[1]]) pointed(...at);
    }

    return { element, build, show };
  };
})();
