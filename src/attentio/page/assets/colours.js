/*
 * From a weight to a colour, and the legend that says so. The ramps are those of pictures too (pictures/colours.py).
 */
(() => {
  "use strict";

  const SCALES = ["sqrt", "linear", "log", "even", "row"];

  const { ramps } = attentio.app.payload;

  // How many powers of ten the log scale shows: down to a tenth of an even share of the keys.
  function decades(keys) { return Math.max(2, Math.ceil(Math.log10(keys)) + 1); }

  // Where a weight stands on the ramp, from 0 to 1; of the relative scales (tones.js), where what stands for it does.
  function position(value, scale, powers) {
    if (!(value > 0)) return 0;
    const at = scale === "linear" ? value : scale === "log" ? 1 + Math.log10(value) / powers : Math.sqrt(value);
    return Math.min(1, Math.max(0, at));
  }

  const css = ([r, g, b]) => `rgb(${r}, ${g}, ${b})`;

  const tables = new Map();

  // The colour of each code of a matrix, as ImageData wants it (alpha, blue, green, red).
  function table(app, matrix, keys) {
    const { theme, scale } = app.state, powers = decades(keys);
    const name = [theme, scale, powers, matrix.values.length].join();
    if (!tables.has(name)) {
      const made = Uint32Array.from(matrix.values, (value) => {
        const [r, g, b] = ramps[theme][Math.round(255 * position(value, scale, powers))];
        return (255 << 24) | (b << 16) | (g << 8) | r;
      });
      specialColours(app).forEach((hex, code) => {
        const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
        made[code] = (255 << 24) | (b << 16) | (g << 8) | r;
      });
      tables.set(name, made);
    }
    return tables.get(name);
  }

  // Of the codes that are no numbers, in their order: masked, not kept, not a number.
  function specialColours(app) { return ["masked", "not-kept", "nan"].map(app.color); }

  // As the contrast of text is reckoned (WCAG 2).
  function luminance(colour) {
    const [r, g, b] = colour.map((x) => (x <= 10 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  // Black or white, whichever has more contrast: at least 4.5.
  const inkOn = (colour) => (luminance(colour) > 0.179 ? "#000000" : "#ffffff");

  // From one colour to another, both #rrggbb, and what to write on it in.
  function between(from, to, part) {
    const channel = (hex, at) => parseInt(hex.slice(2 * at + 1, 2 * at + 3), 16);
    const colour = [0, 1, 2].map((at) => Math.round((1 - part) * channel(from, at) + part * channel(to, at)));
    return { fill: css(colour), ink: inkOn(colour) };
  }

  // A cell's colour and a colour to write on it.
  function cell(app, { code, value }, keys) {
    if (code < attentio.data.ZERO) return { fill: specialColours(app)[code], ink: app.color("soft") };
    const colour = ramps[app.state.theme][Math.round(255 * position(value, app.state.scale, decades(keys)))];
    return { fill: css(colour), ink: inkOn(colour) };
  }

  function ticks(scale, powers) {
    if (scale === "linear") return [0, 0.25, 0.5, 0.75, 1];
    if (scale === "sqrt" || scale === "row") return [0, 0.02, 0.1, 0.25, 0.5, 1];
    if (scale === "even") return [-3, -2, -1, 0, 1, 2, 3].map((octave) => (octave / 6 + 0.5) ** 2);
    return Array.from({ length: powers + 1 }, (_, power) => 10 ** (power - powers));
  }

  const TIMES = ["⅛", "¼", "½", "1", "2", "4", "8"];

  function tickText(value, scale) {
    if (scale === "even") return `${TIMES[Math.round(6 * Math.sqrt(value))]}×`;
    return value >= 0.001 || value === 0 ? String(value) : `10${superscript(Math.log10(value))}`;
  }

  function superscript(number) {
    return String(Math.round(number)).replace("-", "⁻").replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]);
  }

  // Draws the legend with its left upper corner at x, y; what is no number only where the matrix has some.
  function legend(app, pen, matrix, keys, x, y, width) {
    const { theme, scale } = app.state, powers = decades(keys), steps = 64;
    for (let step = 0; step < steps; step += 1) {
      pen.rect(x + (step * width) / steps, y, width / steps + 0.5, 10, css(ramps[theme][Math.round((255 * step) / (steps - 1))]));
    }
    pen.frame(x, y, width, 10, app.color("line"));
    for (const value of ticks(scale, powers)) {
      const at = x + position(value, scale, powers) * width;
      pen.text(at, y + 22, tickText(value, scale), { size: 11, color: app.color("soft"), align: "center" });
    }
    let left = x + width + 26;
    for (const code of [...attentio.tones(app, matrix).specials()].sort()) {
      const out = code === attentio.data.NOT_KEPT && app.state.without;
      const name = app.text(["legend.masked", out ? "legend.leftOut" : "legend.notKept", "legend.nan"][code]);
      pen.rect(left, y, 14, 10, specialColours(app)[code]);
      pen.frame(left, y, 14, 10, app.color("line"));
      pen.text(left + 20, y + 9, name, { size: 11, color: app.color("soft") });
      left += 40 + pen.width(name, 11);
    }
    return left - x;
  }

  // The same on a canvas of its own in so much room; larger before a class.
  function legendOn(canvas, app, matrix, room) {
    const large = app.state.lecture ? 1.7 : 1, ratio = devicePixelRatio || 1, context = canvas.getContext("2d");
    const wide = Math.max(280, Math.min(620 * large, room));
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(32 * large * ratio);
    canvas.style.width = `${wide}px`;
    context.scale(large * ratio, large * ratio);
    legend(app, new attentio.pen.CanvasPen(context), matrix, app.group().keys, 12, 4, 200);
  }

  attentio.colours = { SCALES, ramps, table, cell, between, legend, legendOn, position, decades, superscript };
})();
