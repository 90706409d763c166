/*
 * Source and output: for each output token how likely it was, what else might have stood there, how likely it was
 * copied and from where, and the source tokens shaded by how much it looked at them.
 */
(() => {
  "use strict";

  const MOST = 512, MOST_ALTERNATIVES = 4, STRONG = 0.05;  // weaker ones are left out where there is little room
  const fits = (group) => /(^|:)target$/.test(group.queryTokens) && Math.max(group.queries, group.keys) <= MOST;

  class Translation {
    constructor(element, app) {
      Object.assign(this, { app, matrix: null });
      const make = app.element, heading = (key) => make("th", { scope: "col", key });
      this.withChances = Boolean(app.payload.alternatives);
      this.withCopies = Boolean(app.payload.copied);
      this.readout = make("p", { class: "reading" });
      this.body = make("tbody", {});
      this.table = make("table", { class: "translation" }, make("thead", {}, make("tr", {}, heading("translation.output"),
        ...(this.withChances ? [heading("translation.chance"), heading("translation.instead")] : []),
        ...(this.withCopies ? [heading("translation.copied")] : []), heading("translation.looked"))), this.body);
      element.append(make("div", { class: "bar" }, this.readout), make("div", { class: "framed wide-table" }, this.table),
        make("p", { class: "hint", key: "translation.keys" }),
        ...(this.withCopies ? [make("p", { class: "hint", key: "translation.copying" })] : []));
      this.body.addEventListener("keydown", (event) => this.key(event));
      this.body.addEventListener("mouseover", (event) => this.hovered(event.target.closest(".source")));
      this.body.addEventListener("mouseleave", () => this.read());
    }

    async update(changed) {
      const { app } = this;
      if (!fits(app.group())) {
        app.set({ group: app.payload.groups.findIndex(fits) });  // which calls this again
        return;
      }
      if (this.matrix && [...changed].every((name) => name === "row" || name === "column" || name === "view")) return this.mark();
      const wanted = (this.wanted = app.matrix()), matrix = await wanted;
      if (wanted !== this.wanted) return;
      Object.assign(this, { matrix, rows: app.tokens("query"), columns: app.tokens("key") });
      this.body.replaceChildren(...this.rows.map((token, row) => this.line(token, row)));
      this.mark();
    }

    line(token, row) {
      const { app } = this, make = app.element;
      const choose = () => app.set({ row, column: null });
      return make("tr", { tabindex: "-1", "data-row": row, on: { click: choose } }, make("th", { scope: "row" }, make("bdi", { text: token })),
        ...(this.withChances ? this.chances(row) : []), ...(this.withCopies ? [this.copies(row)] : []),
        make("td", { class: "sources" }, ...this.columns.map((_, column) => this.source(row, column))));
    }

    source(row, column) {
      const { app } = this, here = this.matrix.at(row, column), tones = attentio.tones(app, this.matrix);
      const { fill, ink } = attentio.colours.cell(app, tones.at(row, column), app.group().keys);
      const span = app.element("span", { class: here.value >= STRONG ? "source" : "source weak", "data-column": column }, app.element("bdi", { text: this.columns[column] }));
      span.style.background = fill;
      span.style.color = ink;
      span.classList.toggle("origin", this.origins(row).some(([place]) => place === column));
      return span;
    }

    // The pieces of a row: more than one where they are joined to words.
    pieces(row) {
      const words = this.app.state.words ? this.app.words("query") : null;
      return words ? words[row] : [row, row + 1];
    }

    // Where the token said may be copied from, the likeliest first; of a word that is joined it is not one place.
    origins(row) {
      const [from, to] = this.pieces(row), { copied } = this.app.payload;
      if (!copied || to - from > 1 || (this.app.state.words && this.app.words("key"))) return [];
      return [...copied[from].places].sort((a, b) => b[1] - a[1]);
    }

    // How probable it is that the step copies; of a word, the mean over its pieces.
    copyShare(row) {
      const [from, to] = this.pieces(row), shares = this.app.payload.copied.slice(from, to).map(({ share }) => share);
      return shares.reduce((sum, share) => sum + share, 0) / shares.length;
    }

    origin(row) {
      const [best] = this.origins(row);
      if (!best) return "";
      return this.app.text("translation.from", { token: this.app.quote(this.columns[best[0]]), place: best[0], share: this.app.percent(best[1]) });
    }

    copies(row) {
      const { app } = this, make = app.element, share = this.copyShare(row);
      return make("td", { class: "number copies" }, app.percent(share), this.bar(share), make("small", { text: this.origin(row) }));
    }

    bar(share) {
      const bar = this.app.element("span", { class: "chance", "aria-hidden": "true" }, this.app.element("span", {}));
      bar.firstChild.style.width = `${100 * share}%`;
      return bar;
    }

    // The chance of a word is that of all its pieces.
    chances(row) {
      const { app } = this, make = app.element, all = app.payload.alternatives[app.state.item] ?? [];
      const [from, to] = this.pieces(row);
      let chance = 1;
      for (let at = from; at < to; at += 1) chance *= all[at]?.find(([, , said]) => said)?.[1] ?? NaN;
      const others = to - from > 1 ? [] : (all[from] ?? []).filter(([, , said]) => !said).slice(0, MOST_ALTERNATIVES);
      return [make("td", { class: "number" }, Number.isNaN(chance) ? "–" : app.percent(chance), this.bar(chance || 0)),
        make("td", { class: "others" }, ...others.map(([token, p]) => make("span", { class: "other" }, make("bdi", { text: token }),
          `: ${app.percent(p)}`)))];
    }

    mark() {
      const chosen = this.app.state.row ?? 0;
      for (const line of this.body.children) {
        const here = Number(line.dataset.row);
        line.setAttribute("aria-selected", String(here === this.app.state.row));
        line.tabIndex = here === chosen ? 0 : -1;
      }
      this.read();
    }

    read() {
      const { row } = this.app.state;
      this.readout.textContent = row == null ? this.app.text("translation.start") : this.sentence(row);
    }

    hovered(span) {
      if (!span) return;
      const row = Number(span.closest("tr").dataset.row), column = Number(span.dataset.column);
      const { code, value } = this.matrix.at(row, column), special = ["legend.masked", "legend.notKept", "legend.nan"][code];
      this.readout.textContent = this.app.text("heat.cell", { query: this.app.quote(this.rows[row]), row,
        key: this.app.quote(this.columns[column]), column, value: special ? this.app.text(special) : this.app.number(value) });
    }

    sentence(row) {
      const { app } = this;
      const best = this.columns.map((token, column) => ({ token, value: this.matrix.at(row, column).value || 0 }))
        .sort((a, b) => b.value - a.value).slice(0, 4).filter(({ value }) => value > 0.0005);
      const list = best.map(({ token, value }) => `${app.quote(token)} ${app.number(value, 2)}`).join(", ");
      const looks = app.text("arcs.looksAt", { token: app.quote(this.rows[row]), list: list || app.text("arcs.nothing") });
      return this.withCopies ? `${looks} · ${app.text("translation.copied")} ${app.percent(this.copyShare(row))} ${this.origin(row)}` : looks;
    }

    key(event) {
      const last = this.rows.length - 1, row = this.app.state.row ?? -1;
      const next = { ArrowDown: row + 1, ArrowUp: row - 1, Home: 0, End: last }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      this.app.set({ row: Math.min(last, Math.max(0, next)), column: null });
      this.body.children[this.app.state.row].focus();
      this.app.say(this.sentence(this.app.state.row));
    }

    // Rows of the output beside the source, shaded.
    picture() {
      if (!this.matrix) return null;
      const { app } = this, size = 14, line = 28, gap = 6;
      const wide = (label) => attentio.pen.width(label, size) + 12;
      const copy = this.withCopies ? 72 : 0, left = Math.min(180, Math.max(...this.rows.map(wide))) + 16 + copy;
      const places = this.columns.reduce((ends, label) => [...ends, ends.at(-1) + wide(label) + gap], [left]);
      return { width: places.at(-1) + 10, height: this.rows.length * line + 12, draw: (pen) => {
        this.rows.forEach((token, row) => {
          const y = 8 + row * line;
          pen.text(left - copy - 14, y + 17, attentio.pen.fitted(token, size, left - copy - 20), { size, align: "right", color: app.color("ink"), bold: row === app.state.row });
          if (copy) pen.text(left - 14, y + 17, app.percent(this.copyShare(row)), { size: 12, align: "right", color: app.color("warm") });
          this.columns.forEach((label, column) => {
            const { fill, ink } = attentio.colours.cell(app, attentio.tones(app, this.matrix).at(row, column), app.group().keys);
            pen.rect(places[column], y, wide(label), 24, fill);
            pen.text(places[column] + 6, y + 17, label, { size, color: ink });
            if (this.origins(row).some(([place]) => place === column)) pen.rect(places[column], y + 22, wide(label), 3, app.color("warm"));
          });
        });
      } };
    }
  }

  attentioViews.push({
    id: "translation",
    titleKey: "translation.title",
    wide: false,
    uses: ["scale", "words"],
    available: (payload) => payload.groups.some(fits),
    mount: (element, app) => new Translation(element, app),
  });
})();
