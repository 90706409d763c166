/* Step by step as a picture, for PNG and SVG: what is on the screen, text by text, at its place (see pen.js). */
(() => {
  "use strict";

  const TEXTS =
    ".where, .equation button > :is(.place, .name, code), .said, .detail p, .vector > :not(canvas), .window :is(bdi, .place, .centre), " +
    ".remarks p, caption:not(.unseen), .keys :is(th, td), .products :is(th, td)";

  attentio.stepsPicture = (app, body) => {
    const [ink, soft, accent] = ["ink", "soft", "accent"].map(app.color);
    const origin = body.getBoundingClientRect();
    const frame = body.querySelector(".framed");
    const below = frame ? frame.firstChild.offsetHeight - frame.clientHeight : 0; // rows that were scrolled out of sight
    const place = (node) => {
      const { left, top, width, height } = node.getBoundingClientRect();
      const sticky = node.closest(".keys tfoot") ? below : 0;
      const scrolled = node.closest(".keys tbody") ? frame.scrollTop : 0;
      return { x: left - origin.left, y: top - origin.top + sticky + scrolled, width, height };
    };
    const shown = [...body.querySelectorAll(TEXTS)].filter((node) => node.checkVisibility());
    const strips = [...body.querySelectorAll(".strip")].filter((node) => node.checkVisibility());

    function draw(pen) {
      for (const node of strips) {
        const { x, y, width, height } = place(node);
        pen.pixels(node.pixels(), x, y, width, height);
      }
      for (const bar of body.querySelectorAll(".factor")) {
        const { x, y, width, height } = place(bar);
        pen.rect(x, y, width, height, getComputedStyle(bar).backgroundColor);
      }
      for (const node of shown) {
        const { x, y, width, height } = place(node);
        const style = getComputedStyle(node);
        const text = Array.from(node.childNodes, (child) => child.textContent).join(" ");
        const right = style.textAlign === "right";
        const part = node.matches("td.weight") ? parseFloat(node.style.getPropertyValue("--part")) / 100 : 0;
        if (part > 0) pen.rect(x, y + height - 4, width * part, 3, accent);
        const middle = style.textAlign === "center" ? pen.width(text, 12) / -2 + width / 2 : 9;
        pen.text(right ? x + width - 9 : x + middle, y + Math.min(height, 26) / 2 + 5, text, {
          size: 12,
          bold: Number(style.fontWeight) >= 600,
          color: node.closest("thead, .what, .meaning, button > code") ? soft : ink,
          align: right ? "right" : "left",
        });
      }
    }

    return { width: origin.width, height: origin.height + Math.max(0, below), draw };
  };
})();
