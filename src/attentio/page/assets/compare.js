/*
 * Two heads side by side, and their difference: another head, layer, version (model, checkpoint) of the same text, or of
 * another one as far as it is as long.
 */
(() => {
  "use strict";

  const MOST = 512, MOVED = 5, LEAST = 0.01;
  const STRONGEST = 0.85; // of the way to the colour of a difference of 1

  class Compare {
    constructor(element, app) {
      const make = app.element;
      Object.assign(this, { app, shown: null });
      const select = (change) => make("select", { on: { change } });
      const pin = (changes) => app.set({ pin: { ...app.state.pin, ...changes } });
      const number = (text) => (text === "" ? null : Number(text));
      this.group = select(() => pin({ group: Number(this.group.value), layer: null, head: null }));
      this.layer = select(() => pin({ layer: number(this.layer.value) }));
      this.head = select(() => pin({ head: number(this.head.value) }));
      this.labels = [["choice.group", this.group], ["choice.layer", this.layer], ["choice.head", this.head]]
        .map(([key, node]) => make("label", {}, make("span", { key }), node));
      this.readout = make("p", { class: "reading" });
      this.moved = make("div", { class: "moved", role: "group", labelKey: "compare.moved" });
      this.grids = attentio.grids(app, (i, j, say) => this.read(i, j, say), { labelKey: "compare.title", keysKey: "compare.keys" });
      this.missing = make("p", {});
      this.body = make("div", {}, this.readout, this.moved, this.grids.element);
      element.append(make("div", { class: "compare-bar" }, make("span", { key: "compare.with" }), ...this.labels,
        make("button", { type: "button", class: "icon", key: "compare.pin", on: { click: () => this.pinShown() } })), this.missing, this.body);
    }

    pinShown() {
      const { group, layer, head } = this.app.state;
      this.app.set({ pin: { group, layer, head } });
    }

    /** The head that is compared with: as pinned, or that place among those shown. */
    pinned() {
      const { pin, layer, head } = this.app.state, { entries } = this.app.payload.groups[pin.group];
      const at = Math.min(pin.layer ?? layer, entries.length - 1);
      return { group: pin.group, layer: at, head: Math.min(pin.head ?? head, entries[at].heads.length - 1) };
    }

    async update(changed) {
      const { app } = this;
      if (!app.state.pin) return this.pinShown(); // which calls this again
      this.choices();
      const wanted = (this.wanted = {}), one = this.pinned(), { group, layer, head } = app.state;
      const [before, after] = await Promise.all([attentio.data.headOf(app, one.group, one.layer, one.head), attentio.data.headOf(app, group, layer, head)]);
      if (this.wanted !== wanted) return;
      const same = before.rows === after.rows && before.columns === after.columns, small = Math.max(after.rows, after.columns) <= MOST;
      this.body.hidden = !same || !small;
      this.missing.hidden = same && small;
      this.missing.textContent = app.text(same ? "compare.tooLarge" : "compare.otherSize",
        { most: MOST, rows: before.rows, columns: before.columns, otherRows: after.rows, otherColumns: after.columns });
      if (this.body.hidden) { this.shown = null; return; }
      const stays = this.shown && ![...changed].some((name) => ["row", "column", "layer", "head", "group", "item"].includes(name));
      this.shown = { before, after, one };
      const { row, column, words } = app.state;
      if (stays || row == null || column == null || words) this.grids.show(this.scene());
      else this.grids.show(this.scene(), [row, column]);
      this.list();
    }

    choices() {
      const { app } = this, { groups } = app.payload, { pin } = app.state, { entries } = groups[pin.group];
      const fill = (node, options, value) => {
        node.replaceChildren(...options.map(([at, text]) => app.element("option", { value: at, text })));
        node.value = value;
      };
      const same = ["", app.text("compare.same")];
      fill(this.group, groups.map((each, at) => [at, attentio.role(app, each)]), pin.group);
      fill(this.layer, [same, ...entries.map((entry, at) => [at, entry.layer])], pin.layer ?? "");
      fill(this.head, [same, ...entries[this.pinned().layer].heads.map((number, at) => [at, number])], pin.head ?? "");
      [groups.length, entries.length, Math.max(...entries.map(({ heads }) => heads.length))]
        .forEach((count, at) => { this.labels[at].hidden = count < 2; });
    }

    /** NaN where it is not known, or is no number. */
    value(matrix, i, j) {
      const { code, value } = matrix.at(i, j);
      return code === attentio.data.MASKED ? 0 : value;
    }

    written(matrix, i, j) {
      const { NOT_KEPT, NOT_A_NUMBER } = attentio.data, { code } = matrix.at(i, j);
      if (code === NOT_KEPT) return this.app.text("legend.notKept");
      return code === NOT_A_NUMBER ? this.app.text("legend.nan") : this.app.percent(this.value(matrix, i, j));
    }

    name({ group, layer, head }) {
      const { app } = this, { entries, version } = app.payload.groups[group];
      const names = { layer: entries[layer].layer, head: entries[layer].heads[head] };
      return `${version ? `${version}: ` : ""}${app.text(head < 0 ? "head.shortMean" : "head.short", names)}`;
    }

    scene() {
      const { app } = this, { before, after, one } = this.shown, keys = app.group().keys;
      const [panel, accent, warm] = ["panel", "accent", "warm"].map(app.color), { ZERO } = attentio.data;
      const written = (value) => value.toFixed(2).replace("-", "−").replace("0.", ".");
      const weight = (matrix) => (i, j) => {
        const cell = matrix.at(i, j);
        return cell.code < ZERO ? { text: "" } : { ...attentio.colours.cell(app, cell, keys), text: cell.value >= 0.005 ? written(cell.value) : "" };
      };
      const difference = (i, j) => {
        if (before.at(i, j).code < ZERO && after.at(i, j).code < ZERO) return { text: "" };
        const more = this.value(after, i, j) - this.value(before, i, j);
        if (Number.isNaN(more)) return { text: "" };
        const look = attentio.colours.between(panel, more < 0 ? warm : accent, STRONGEST * Math.sqrt(Math.min(1, Math.abs(more))));
        return { ...look, text: Math.abs(more) >= 0.005 ? `${more > 0 ? "+" : ""}${written(more)}` : "" };
      };
      const { group, layer, head } = app.state;
      return { queries: app.pieces("query"), keys: app.pieces("key"), grids: [{ title: this.name(one), look: weight(before) },
        { title: this.name({ group, layer, head }), look: weight(after) }, { title: app.text("compare.difference"), look: difference }] };
    }

    /** How much of a row's attention is elsewhere, and the cells that changed most. */
    list() {
      const { app } = this, { before, after } = this.shown, cells = [];
      let total = 0, unknown = false;
      for (let i = 0; i < after.rows; i += 1) {
        for (let j = 0; j < after.columns; j += 1) {
          const more = this.value(after, i, j) - this.value(before, i, j);
          if (Number.isNaN(more)) { unknown = true; continue; }
          total += Math.abs(more) / 2;
          if (Math.abs(more) >= LEAST) cells.push({ i, j, more });
        }
      }
      cells.sort((a, b) => Math.abs(b.more) - Math.abs(a.more));
      const [queries, keys] = [app.pieces("query"), app.pieces("key")];
      const buttons = cells.slice(0, MOVED).map(({ i, j, more }) => app.element("button", { type: "button",
        text: `${app.quote(queries[i])} → ${app.quote(keys[j])} ${this.points(more)}`, on: { click: () => this.grids.show(this.scene(), [i, j]) } }));
      this.moved.replaceChildren(app.element("span", { text: app.text(unknown ? "compare.unknown" : "compare.share", { share: app.percent(total / after.rows) }) }),
        app.element("span", { text: app.text(buttons.length ? "compare.most" : "compare.alike") }), ...buttons);
    }

    points(more) { return `${more < 0 ? "−" : "+"}${digits(100 * Math.abs(more))}`; }

    read(i, j, say) {
      const { app } = this;
      if (!this.shown) return;
      const both = [this.shown.before, this.shown.after], [one, other] = both.map((matrix) => this.value(matrix, i, j));
      const [before, after] = both.map((matrix) => this.written(matrix, i, j));
      const pair = { query: app.namedPiece("query", i), key: app.namedPiece("key", j), before, after };
      this.readout.textContent = Number.isNaN(other - one) ? app.text("compare.cellUnknown", pair)
        : app.text("compare.cell", { ...pair, more: this.points(other - one) });
      if (say) app.say(this.readout.textContent);
    }

    picture() {
      if (!this.shown) return null;
      const still = { ...this.scene(), at: null, width: 1000 }, { width, height } = attentio.gridsPicture.layout(still);
      return { width, height, draw: (pen) => attentio.gridsPicture.draw(this.app, pen, still) };
    }
  }

  function digits(value) { return value >= 9.95 || value === 0 ? String(Math.round(value)) : value.toPrecision(2); }

  attentioViews.push({
    id: "compare",
    titleKey: "compare.title",
    wide: false,
    uses: [],
    available: ({ groups }) => groups.length > 1 || groups.some(({ entries }) => entries.length > 1 || entries.some(({ heads }) => heads.length > 1)),
    mount: (element, app) => (attentio.compare = new Compare(element, app)),
  });
})();
