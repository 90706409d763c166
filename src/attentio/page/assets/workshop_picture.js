/* How mask, scores and weights look as grids (grids_picture.js), on the screen and with the mask's Python in a file. */
(() => {
  "use strict";

  const LINE = 16, WIDTH = 900;

  const plain = (value, digits) => value.toFixed(digits).replace(/^-(?=[0.]*$)/, "").replace("-", "−");

  /** The scene of what the workshop shows: {queries, keys, allowed, scores, weights}, each [queries][keys]. */
  function scene(app, { queries, keys, allowed, scores, weights }) {
    const [accent, panel, warm] = ["accent", "panel", "warm"].map(app.color);
    const largest = Math.max(...scores.flat().map(Math.abs).filter(Number.isFinite)) || 1;
    const looks = {
      mask: () => ({ fill: accent }),
      scores: (i, j) => {
        const { fill, ink } = attentio.colours.between(panel, scores[i][j] < 0 ? warm : accent, (0.7 * Math.abs(scores[i][j])) / largest);
        return { fill, ink, text: plain(scores[i][j], 1) };
      },
      weights: (i, j) => ({ ...attentio.colours.cell(app, { code: attentio.data.ZERO, value: weights[i][j] }, keys.length),
        text: weights[i][j] === 0 ? "0" : plain(weights[i][j], 2) }),
    };
    const instead = { mask: "", scores: "−∞", weights: "0" }; // where looking is forbidden
    const grids = Object.entries(looks).map(([name, look]) => ({ title: app.text(`workshop.${name}`),
      look: (i, j) => (allowed[i][j] ? look(i, j) : { text: instead[name] }) }));
    return { queries, keys, grids, empty: (i) => !allowed[i].some(Boolean) };
  }

  function picture(app, shown, code) {
    const still = { ...scene(app, shown), at: null, width: WIDTH }, { width, height } = attentio.gridsPicture.layout(still);
    const lines = code.split("\n");
    return { width, height: height + lines.length * LINE + 4, draw(pen) {
      attentio.gridsPicture.draw(app, pen, still);
      lines.forEach((text, at) => pen.text(0, height + (at + 0.6) * LINE, text, { size: 12, color: app.color("ink") }));
    } };
  }

  attentio.workshopPicture = { scene, picture };
})();
