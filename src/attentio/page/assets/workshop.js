/*
 * The mask workshop: combine masks, and see who may attend to whom, the scores and the weights change at once; the same
 * mask in attentio's Python; and what it is likely to surprise with.
 */
(() => {
  "use strict";

  const MOST = 128; // tokens of a side

  const PRESETS = {
    gpt: () => [{ kind: "causal" }],
    bert: (keys) => [{ kind: "padding", length: Math.max(1, keys - 2) }],
    longformer: () => [{ kind: "window", before: 2, after: 2 }],
    mistral: () => [{ kind: "causal" }, { kind: "window", before: 3, after: 0 }],
    packed: (keys) => [{ kind: "causal" }, { kind: "segments", keyStarts: new Set([Math.ceil(keys / 2)]) }],
    prefix: (keys) => [{ kind: "causal" }, { kind: "padding", join: "or", length: Math.max(1, Math.round(keys / 3)) }],
    none: () => [],
  };
  const GRAVE = new Set(["future", "empty", "start", "foreign"]);

  /** Scores for lack of captured ones: near keys do better, and no two pairs alike. */
  function invented(queries, keys) {
    const score = (i, j) => 1.6 * Math.sin(1.7 * i + 2.3 * j * j + 0.5) - 0.12 * Math.abs(i + keys - queries - j);
    return Array.from({ length: queries }, (_, i) => Array.from({ length: keys }, (__, j) => score(i, j)));
  }

  class Workshop {
    constructor(element, app) {
      const make = app.element, { text, keys } = app.payload.workshop;
      this.app = app;
      this.terms = attentio.workshopTerms(app, () => this.show());
      this.grids = attentio.grids(app, (i, j, say) => this.read(i, j, say), { labelKey: "workshop.grids", keysKey: "workshop.keys" });
      const line = (value, labelKey) => make("input", { type: "text", class: "sentence", value, labelKey, on: { input: () => this.load() } });
      this.text = line(text, "workshop.text");
      this.keys = line(keys, "workshop.keysText");
      this.presets = make("div", { class: "presets", role: "group", labelKey: "workshop.presets" },
        ...Object.keys(PRESETS).map((name) => make("button", { type: "button", "data-preset": name, key: `workshop.preset.${name}`,
          on: { click: () => this.preset(name) } })));
      this.last = make("input", { type: "number", min: 1, labelKey: "workshop.last", on: { input: () => this.resize() } });
      this.lastOf = make("span", {});
      this.lastLine = make("label", { class: "last" }, make("span", { key: "workshop.last" }), this.last, this.lastOf);
      this.source = make("p", { class: "hint" });
      this.python = make("pre", { class: "python", tabindex: 0, labelKey: "workshop.python" }, make("code", {}));
      this.traps = make("ul", { class: "traps", "aria-live": "polite" });
      this.readout = make("p", { class: "readout" });
      element.append(make("div", { class: "workshop" },
        make("div", { class: "texts" },
          make("label", {}, make("span", { key: "workshop.text" }), this.text),
          make("label", {}, make("span", { key: "workshop.keysText" }), this.keys)),
        this.presets,
        make("div", { class: "bench" }, make("div", {}, this.terms.element, this.lastLine), make("div", {}, this.python, this.traps)),
        this.readout, this.grids.element, this.source));
      this.load();
    }

    /** Other sentences: the terms stay where the number of tokens does. */
    load() {
      const split = (input) => input.value.trim().split(/\s+/).filter(Boolean);
      const queries = split(this.text), keys = split(this.keys);
      this.cut = Math.max(queries.length, keys.length) > MOST;
      const queryTokens = (queries.length ? queries : ["…"]).slice(0, MOST), own = !keys.length;
      const keyTokens = own ? queryTokens : keys.slice(0, MOST);
      const same = this.all && this.all.own === own && this.all.keyTokens.length === keyTokens.length && this.all.queryTokens.length === queryTokens.length;
      this.all = { own, queryTokens, keyTokens, scores: invented(queryTokens.length, keyTokens.length) };
      if (same) {
        this.resize();
        return;
      }
      this.last.max = this.last.value = queryTokens.length;
      this.lastLine.hidden = !own;
      this.preset(own ? "gpt" : "none");
    }

    preset(name) {
      this.terms.reset(PRESETS[name](this.all.keyTokens.length), this.sizes());
      this.show();
    }

    sizes() {
      const { own, queryTokens, keyTokens } = this.all;
      const queries = Math.round(Math.min(queryTokens.length, Math.max(1, Number(this.last.value) || queryTokens.length)));
      return { own, queryTokens, keyTokens, queries, keys: keyTokens.length };
    }

    /** Another number of queries: the last so many, as when the tokens before are in a cache. */
    resize() {
      this.terms.resize(this.sizes());
      this.show();
    }

    show() {
      const { app } = this, { queries, keys, own } = this.sizes();
      this.mask = attentio.masks.combine(this.terms.terms);
      const allowed = attentio.masks.materialize(this.mask, queries, keys), scores = this.all.scores.slice(-queries);
      const soft = (row, i) => attentio.arithmetic.normalize(row.map((score, j) => (allowed[i][j] ? score : -Infinity))).weights;
      this.shown = { allowed, scores, weights: scores.map(soft), free: scores.map((row) => attentio.arithmetic.normalize(row).weights) };
      const { definitions, expression } = attentio.masks.python(this.mask);
      this.python.firstChild.textContent = [...definitions, `mask = ${expression}`].join("\n");
      this.showTraps(attentio.masks.traps(this.mask, queries, keys, own));
      this.source.textContent = app.text("workshop.invented") + (this.cut ? ` ${app.text("workshop.cut", { most: MOST })}` : "");
      this.lastOf.textContent = app.text("workshop.ofQueries", { queries: this.all.queryTokens.length });
      this.grids.show(attentio.workshopPicture.scene(app, this.pairs()));
    }

    /** What the grids show, with the tokens. */
    pairs() {
      const { queryTokens, keyTokens } = this.all;
      return { ...this.shown, queries: queryTokens.slice(-this.sizes().queries), keys: keyTokens };
    }

    showTraps(traps) {
      const { app } = this, queryTokens = this.all.queryTokens.slice(-this.sizes().queries);
      const few = (rows) => rows.slice(0, 4).map((i) => app.quote(queryTokens[i])).join(", ") + (rows.length > 4 ? ", …" : "");
      const items = traps.map(({ id, ...found }) => app.element("li", { class: GRAVE.has(id) ? "grave" : "", "data-trap": id,
        text: app.text(`workshop.trap.${id}`, { ...found, rows: found.rows && few(found.rows), empty: found.rows?.length,
          query: app.quote(queryTokens[found.query] ?? ""), key: app.quote(this.all.keyTokens[found.key] ?? "") }) }));
      this.traps.replaceChildren(...items);
    }

    /** One pair in words: what each term says of it, and what became of its score. */
    read(i, j, say) {
      const { app, shown } = this, { queries, keys } = this.sizes(), { number } = attentio.arithmetic;
      const says = this.terms.terms.map(({ mask, not }) => {
        const may = attentio.masks.allows(mask, i, j, keys - queries) !== not;
        return `${not ? "~" : ""}at.${mask.kind} ${may ? "✓" : "✗"}`;
      });
      this.readout.textContent = app.text(shown.allowed[i][j] ? "workshop.readMay" : "workshop.readMayNot", {
        query: app.quote(this.all.queryTokens.slice(-queries)[i]), key: app.quote(this.all.keyTokens[j]), says: says.join(" · ") || "–",
        score: number(shown.scores[i][j]), weight: number(shown.weights[i][j]), free: number(shown.free[i][j]) });
      if (say) app.say(this.readout.textContent);
    }

    /** For PNG and SVG. */
    picture() { return attentio.workshopPicture.picture(this.app, this.pairs(), this.python.textContent); }
  }

  attentioViews.push({
    id: "workshop",
    titleKey: "workshop.title",
    wide: true,
    uses: [],
    available: (payload) => Boolean(payload.workshop),
    mount(element, app) {
      const workshop = (attentio.workshop = new Workshop(element, app));
      return {
        update(changed) {
          if (changed.has("language")) workshop.resize();
          else if (changed.has("theme")) workshop.show();
        },
        picture: () => workshop.picture(),
      };
    },
  });
})();
