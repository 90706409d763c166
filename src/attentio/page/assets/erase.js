/*
 * The output without each head: how much less probable all of it is, and what would be said instead. The head that it
 * loses most without comes first. Beside the list is what each token of the output loses without the chosen one.
 */
(() => {
  "use strict";

  const LISTED = 60;

  class Erase {
    constructor(element, app) {
      const make = app.element, { said, heads } = app.payload.withoutHeads;
      Object.assign(this, { app, said, heads, logProbs: null });
      const heading = (key) => make("th", { scope: "col", key });
      this.readout = make("p", { class: "reading" });
      this.body = make("tbody", {});
      this.tokens = make("ol", { class: "losses" });
      this.beside = make("div", { class: "profile" }, make("h2", { key: "erase.tokens" }), this.tokens);
      element.append(make("div", { class: "bar" }, this.readout), make("div", { class: "beside" },
        make("div", { class: "framed wide-table" }, make("table", { class: "translation erase" },
          make("thead", {}, make("tr", {}, ...["erase.head", "erase.does", "erase.chance", "erase.instead"].map(heading))), this.body)),
        this.beside), make("p", { class: "hint", key: "erase.means" }), make("p", { class: "hint", key: "erase.keys" }));
      this.body.addEventListener("keydown", (event) => this.key(event));
      attentio.data.singles(app.payload.withoutHeads.logProbs).then((logProbs) => { this.logProbs = logProbs; this.update(); });
    }

    update(changed) {
      if (!this.logProbs) return;
      if (changed && this.body.children.length && !changed.has("language")) return this.mark();
      this.body.replaceChildren(...this.heads.slice(0, LISTED).map((_, at) => this.line(at)));
      this.mark();
    }

    // log p of each token: row 0 with all heads, then without each of them.
    row(at) { return this.logProbs.subarray((at + 1) * this.said.length, (at + 2) * this.said.length); }

    whole(at) { return this.row(at).reduce((sum, each) => sum + each, 0); }

    // The group, layer and head that are erased there; of several calls of an attention the first.
    place(at) {
      const { name, head } = this.heads[at], { groups } = this.app.payload;
      const group = groups.findIndex((each) => each.call === 0 && each.entries.some((entry) => entry.name === name));
      const layer = groups[group].entries.findIndex((entry) => entry.name === name);
      return { group, layer, head: groups[group].entries[layer].heads.indexOf(head) };
    }

    name({ group, layer, head }) {
      const { app } = this, of = app.payload.groups[group], entry = of.entries[layer];
      return `${attentio.role(app, of)}, ${app.text("head.short", { layer: entry.layer, head: entry.heads[head] })}`;
    }

    // "1.8 times less probable": the size of the change, as a factor.
    change(at) {
      const lost = this.whole(-1) - this.whole(at), factor = Math.exp(Math.abs(lost));
      const small = this.app.number(factor);
      if (small === "1.00") return this.app.text("erase.same");
      const times = factor < 100 ? small : factor < 1e6 ? Math.round(factor).toLocaleString("en")
        : `10${attentio.colours.superscript(Math.log10(factor))}`;
      return this.app.text(lost > 0 ? "erase.less" : "erase.more", { times });
    }

    line(at) {
      const { app } = this, make = app.element, place = this.place(at);
      const does = app.payload.groups[place.group].entries[place.layer].does[0][place.head];
      return make("tr", { tabindex: "-1", "data-row": at, on: { click: () => this.choose(at) } },
        make("th", { scope: "row", text: this.name(place) }), make("td", {}, attentio.badge(app, does.kind)),
        make("td", { class: "number", text: this.change(at) }), make("td", {}, this.instead(at)));
    }

    // The output with what would be said in the stead of some of its tokens.
    instead(at) {
      const { app, said } = this, make = app.element, { instead } = this.heads[at], other = new Map(instead);
      if (!instead.length) return make("span", { class: "hint", key: "erase.sameTokens" });
      return make("span", {}, ...said.flatMap((token, place) => [
        other.has(place) ? make("mark", { title: app.text("erase.insteadOf", { token }) }, make("bdi", { text: other.get(place) })) : make("bdi", { text: token }), " "]));
    }

    // The place of the chosen head in the list, or -1.
    chosen() {
      const { group, layer, head } = this.app.state;
      return this.heads.findIndex((_, at) => {
        const place = this.place(at);
        return place.group === group && place.layer === layer && place.head === head;
      });
    }

    choose(at) {
      const { group, layer, head } = this.place(at), cell = this.app.payload.groups[group].entries[layer].does[0][head]?.cell ?? [null, null];
      this.app.set({ group, layer, head, words: false, row: cell[0], column: cell[1] });
      this.app.say(this.sentence(at));
    }

    sentence(at) {
      return this.app.text("erase.without", { head: this.name(this.place(at)), change: this.change(at) });
    }

    mark() {
      const now = this.chosen(), chosen = Math.max(0, now);
      for (const line of this.body.children) {
        const here = Number(line.dataset.row);
        line.setAttribute("aria-selected", String(here === now));
        line.tabIndex = here === Math.min(chosen, LISTED - 1) ? 0 : -1;
      }
      const more = this.heads.length > LISTED ? ` ${this.app.text("erase.listed", { most: LISTED, all: this.heads.length })}` : "";
      this.readout.textContent = `${this.sentence(chosen)}.${more}`;
      this.tokens.replaceChildren(...this.said.map((token, place) => this.token(token, Math.exp(this.row(-1)[place]), Math.exp(this.row(chosen)[place]))));
    }

    token(token, before, after) {
      const { app } = this, make = app.element;
      const bar = make("span", { class: "chance", "aria-hidden": "true" }, make("span", {}));
      bar.firstChild.style.width = `${100 * after}%`;
      return make("li", {}, make("span", { class: "token" }, make("bdi", { text: token })),
        make("span", { class: "value", text: `${app.percent(before)} → ${app.percent(after)}` }), bar);
    }

    key(event) {
      const last = this.body.children.length - 1, at = Number(event.target.closest("tr").dataset.row);
      const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: last }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      const within = Math.min(last, Math.max(0, next));
      this.choose(within);
      this.body.children[within].focus();
    }

    // The list as it stands there: heads, their change and what would be said.
    picture() {
      if (!this.logProbs) return null;
      const { app } = this, rows = this.heads.slice(0, LISTED), size = 13, line = 22;
      const texts = rows.map((one, at) => [this.name(this.place(at)), this.change(at),
        one.instead.length ? this.said.map((token, place) => new Map(one.instead).get(place) ?? token).join(" ") : app.text("erase.sameTokens")]);
      const widths = [0, 1, 2].map((column) => Math.min(420, Math.max(...texts.map((text) => attentio.pen.width(text[column], size))) + 24));
      const lefts = [0, widths[0], widths[0] + widths[1]];
      return { width: lefts[2] + widths[2], height: rows.length * line + 8, draw: (pen) => texts.forEach((text, at) => text.forEach((each, column) => {
        pen.text(lefts[column], 16 + at * line, attentio.pen.fitted(each, size, widths[column] - 8), { size, color: app.color(column ? "soft" : "ink"), bold: at === this.chosen() });
      })) };
    }
  }

  attentioViews.push({
    id: "erase",
    titleKey: "erase.title",
    wide: false,
    uses: [],
    available: (payload) => Boolean(payload.withoutHeads),
    mount: (element, app) => new Erase(element, app),
  });
})();
