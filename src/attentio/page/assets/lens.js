/*
 * The logit lens: a row for each layer, a column for each token that was said, and in each cell what the layer would
 * say there if it were the last, the darker the more probable.
 */
(() => {
  "use strict";

  const ON_PAPER = 640, COLUMNS = 10;  // pixels of a sheet's width; tokens beside one another there

  class Lens {
    constructor(element, app) {
      const make = app.element;
      Object.assign(this, { app, ...app.payload.lens, chances: null, at: [app.payload.lens.best.length - 1, 0] });
      this.readout = make("p", { class: "reading" });
      this.grid = make("div", { role: "grid", class: "lens", labelKey: "lens.title", "aria-describedby": "lens-keys" });
      element.append(make("div", { class: "bar" }, this.readout), make("div", { class: "framed wide-table" }, this.grid),
        make("p", { class: "hint", key: "lens.means" }), make("p", { id: "lens-keys", class: "hint", key: "lens.keys" }));
      this.grid.addEventListener("keydown", (event) => this.key(event));
      this.grid.addEventListener("click", (event) => {
        const cell = event.target.closest("[role=gridcell]");
        if (cell) this.choose(Number(cell.dataset.layer), Number(cell.dataset.place));
      });
      attentio.data.singles(app.payload.lens.chances).then((chances) => { this.chances = chances; this.update(); });
    }

    update(changed) {
      if (!this.chances) return;
      if (changed && this.grid.children.length && !["language", "theme", "paper"].some((name) => changed.has(name))) return;
      const { paper } = this.app.state, { length } = this.said, columns = paper ? COLUMNS : length;
      const focused = this.grid.contains(document.activeElement);
      const parts = Array.from({ length: Math.ceil(length / columns) }, (_, part) => this.rows(part * columns, Math.min(length, (part + 1) * columns)));
      this.grid.replaceChildren(...parts.flat());
      this.grid.style.zoom = "";
      if (paper) this.grid.style.zoom = Math.min(1, ON_PAPER / this.grid.scrollWidth);
      this.mark(focused);
    }

    // What was said from one place to another, and below it each layer.
    rows(begin, end) {
      const { app } = this, make = app.element, places = Array.from({ length: end - begin }, (_, at) => begin + at);
      const heading = make("div", { role: "row" }, make("span", { role: "columnheader", class: "layer", text: app.text("lens.said") }),
        ...places.map((place) => make("span", { role: "columnheader" }, make("bdi", { text: this.said[place] }))));
      return [heading, ...this.best.map((_, layer) => make("div", { role: "row" },
        make("span", { role: "rowheader", class: "layer", text: app.text("lens.layer", { layer: layer + 1 }) }),
        ...places.map((place) => this.cell(layer, place))))];
    }

    cell(layer, place) {
      const { app } = this, [token, chance] = this.best[layer][place][0];
      const cell = app.element("span", { role: "gridcell", tabindex: "-1", "data-layer": layer, "data-place": place,
        class: token === this.said[place] ? "right" : "" }, app.element("bdi", { text: token }));
      const { fill, ink } = attentio.colours.between(app.color("panel"), app.color("accent"), 0.75 * chance);
      cell.style.background = fill;
      cell.style.color = ink;
      return cell;
    }

    choose(layer, place) {
      this.at = [layer, place];
      this.mark(true);
      this.app.say(this.readout.textContent);
    }

    mark(focus) {
      const [layer, place] = this.at;
      for (const cell of this.grid.querySelectorAll("[role=gridcell]")) {
        const here = Number(cell.dataset.layer) === layer && Number(cell.dataset.place) === place;
        cell.tabIndex = here ? 0 : -1;
        cell.setAttribute("aria-selected", String(here));
        if (here && focus) cell.focus();
      }
      this.readout.textContent = this.sentence(layer, place);
    }

    sentence(layer, place) {
      const { app } = this, list = this.best[layer][place].map(([token, chance]) => `${app.quote(token)} ${app.percent(chance)}`).join(", ");
      return app.text("lens.cell", { layer: layer + 1, read: app.quote(this.read[place]), list, said: app.quote(this.said[place]),
        chance: app.percent(this.chances[layer * this.said.length + place]) });
    }

    key(event) {
      const [layer, place] = this.at, last = this.said.length - 1;
      const goal = { ArrowUp: [layer - 1, place], ArrowDown: [layer + 1, place], ArrowLeft: [layer, place - 1], ArrowRight: [layer, place + 1],
        Home: [layer, 0], End: [layer, last] }[event.key];
      if (!goal) return;
      event.preventDefault();
      this.choose(Math.min(this.best.length - 1, Math.max(0, goal[0])), Math.min(last, Math.max(0, goal[1])));
    }

    picture() {
      const { app, said, best } = this, size = 13, line = 26, left = 70;
      const wide = said.map((token, place) => 14 + Math.max(...[token, ...best.map((layer) => layer[place][0][0])].map((each) => attentio.pen.width(each, size))));
      const places = wide.reduce((ends, each) => [...ends, ends.at(-1) + each], [left]);
      return { width: places.at(-1), height: (best.length + 1) * line, draw: (pen) => {
        said.forEach((token, place) => pen.text(places[place] + 6, 17, token, { size, bold: true, color: app.color("ink") }));
        best.forEach((layer, at) => {
          const y = (at + 1) * line;
          pen.text(0, y + 17, app.text("lens.layer", { layer: at + 1 }), { size: 12, color: app.color("soft") });
          layer.forEach(([[token, chance]], place) => {
            const { fill, ink } = attentio.colours.between(app.color("panel"), app.color("accent"), 0.75 * chance);
            pen.rect(places[place], y, wide[place] - 2, line - 2, fill);
            pen.text(places[place] + 6, y + 17, token, { size, color: ink, bold: token === said[place] });
          });
        });
      } };
    }
  }

  attentioViews.push({
    id: "lens",
    titleKey: "lens.title",
    wide: true,
    ofHeads: false,
    uses: [],
    available: (payload) => Boolean(payload.lens),
    mount: (element, app) => new Lens(element, app),
  });
})();
