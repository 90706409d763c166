/* Vectors as strips: a cell a number, one colour above 0, another below, the stronger the further from 0. */
(() => {
  "use strict";

  const FIRST = 4; // numbers written beside a strip
  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

  /** One cell's colour: of a number between -largest and largest, or of a weight between 0 and 1. */
  function colouring(app, largest, weights) {
    if (weights) {
      const ramp = attentio.colours.ramps[app.state.theme];
      return (value) => ramp[Math.round(255 * attentio.colours.position(value, "sqrt", 1))];
    }
    const [none, above, below] = ["panel", "accent", "warm"].map((name) => rgb(app.color(name)));
    return (value) => {
      const part = 0.9 * Math.min(1, Math.abs(value) / (largest || 1)) ** 0.8;
      const full = value < 0 ? below : above;
      return none.map((from, at) => Math.round(from + part * (full[at] - from)));
    };
  }

  /** A canvas of one pixel a number, which the style stretches; pixels() are for pictures. */
  function strip(app, values, { largest = 1, weights = false } = {}) {
    const canvas = app.element("canvas", { class: "strip", "aria-hidden": "true", width: values.length, height: 1 });
    const colour = colouring(app, largest, weights);
    const image = new ImageData(values.length, 1);
    values.forEach((value, at) => image.data.set([...colour(Number.isFinite(value) ? value : 0), 255], 4 * at));
    canvas.getContext("2d").putImageData(image, 0, 0);
    canvas.pixels = () => image;
    return canvas;
  }

  /** A vector of a query: symbol, what it is, its strip, its first numbers; pointing at a cell reads it. */
  function row(app, vector, query, words) {
    const make = app.element, { number } = attentio.arithmetic;
    const values = Array.from(vector.row(query));
    const few = `(${values.slice(0, FIRST).map(number).join(", ")}${values.length > FIRST ? ", …" : ""})`;
    const reading = make("span", { class: "few", text: few });
    const cells = strip(app, values, { largest: vector.largest });
    cells.addEventListener("pointermove", (event) => {
      const at = Math.floor((event.offsetX / cells.clientWidth) * values.length);
      if (at >= 0 && at < values.length) reading.textContent = `[${at}] = ${number(values[at])}`;
    });
    cells.addEventListener("pointerleave", () => {
      reading.textContent = few;
    });
    return make(
      "div",
      { class: "vector" },
      make("code", { text: vector.symbol }),
      make("span", {
        class: "meaning",
        text: app.text("steps.features", { what: app.text(`steps.vector.${vector.word}`, words), count: values.length }),
      }),
      cells,
      reading,
    );
  }

  attentio.vectors = { strip, row };
})();
