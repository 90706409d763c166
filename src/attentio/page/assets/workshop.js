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
      const make = app.element;
      this.app = app;
      this.all = null; // {own, queryTokens, keyTokens, scores, invented} of the chosen layer and head
      this.terms = attentio.workshopTerms(app, () => this.show());
      this.grids = attentio.workshopGrids(app, (i, j) => this.read(i, j));
      this.presets = make(
        "div",
        { class: "presets", role: "group", labelKey: "workshop.presets" },
        ...Object.keys(PRESETS).map((name) =>
          make("button", {
            type: "button",
            "data-preset": name,
            key: `workshop.preset.${name}`,
            on: { click: () => this.preset(name) },
          }),
        ),
      );
      this.last = make("input", {
        type: "number",
        min: 1,
        labelKey: "workshop.last",
        on: { input: () => this.resize() },
      });
      this.lastOf = make("span", {});
      this.lastLine = make("label", { class: "last" }, make("span", { key: "workshop.last" }), this.last, this.lastOf);
      this.source = make("p", { class: "hint" });
      this.python = make("pre", { class: "python", tabindex: 0, labelKey: "workshop.python" }, make("code", {}));
      this.traps = make("ul", { class: "traps", "aria-live": "polite" });
      this.readout = make("p", { class: "readout" });
      element.append(
        make(
          "div",
          { class: "workshop" },
          this.presets,
          make(
            "div",
            { class: "bench" },
            make("div", {}, this.terms.element, this.lastLine),
            make("div", {}, this.python, this.traps),
          ),
          this.readout,
          this.grids.element,
          this.source,
        ),
      );
    }

    async load() {
      const { app } = this;
      const group = app.group();
      const wanted = (this.wanted = {});
      const parts = await app.parts();
      if (this.wanted !== wanted) return; // another layer or head was chosen meanwhile
      const [queryTokens, keyTokens] = ["query", "key"].map((side) => app.pieces(side).slice(0, MOST));
      const [queries, keys] = [queryTokens.length, keyTokens.length];
      const captured = (i) => Array.from(parts.scores.subarray(i * group.keys, i * group.keys + keys));
      const scores = parts ? queryTokens.map((_, i) => captured(i)) : invented(queries, keys);
      const same = this.all && this.all.group === group && this.all.item === app.state.item;
      this.all = {
        group,
        item: app.state.item,
        own: group.kind === "self",
        queryTokens,
        keyTokens,
        scores,
        invented: !parts,
      };
      if (same) {
        this.show();
        return;
      }
      this.last.max = this.last.value = queries;
      this.lastLine.hidden = !this.all.own;
      this.grids.build(queryTokens, keyTokens);
      this.preset(this.all.own ? "gpt" : "bert");
    }

    preset(name) {
      this.terms.reset(PRESETS[name](this.all.keyTokens.length), this.sizes());
      this.show();
    }

    sizes() {
      const { own, queryTokens, keyTokens } = this.all;
      const queries = Math.round(
        Math.min(queryTokens.length, Math.max(1, Number(this.last.value) || queryTokens.length)),
      );
      return { own, queryTokens, keyTokens, queries, keys: keyTokens.length };
    }

    /** Another number of queries: the last so many, as when the tokens before are in a cache. */
    resize() {
      const sizes = this.sizes();
      this.grids.build(this.all.queryTokens.slice(-sizes.queries), this.all.keyTokens);
      this.terms.resize(sizes);
      this.show();
    }

    show() {
      const { app } = this;
      const { queries, keys, own } = this.sizes();
      this.mask = attentio.masks.combine(this.terms.terms);
      const allowed = attentio.masks.materialize(this.mask, queries, keys);
      const scores = this.all.scores.slice(-queries);
      const soft = (row, i) =>
        attentio.arithmetic.normalize(row.map((score, j) => (allowed[i][j] ? score : -Infinity))).weights;
      this.shown = {
        allowed,
        scores,
        weights: scores.map(soft),
        free: scores.map((row) => attentio.arithmetic.normalize(row).weights),
      };
      const { definitions, expression } = attentio.masks.python(this.mask);
      this.python.firstChild.textContent = [...definitions, `mask = ${expression}`].join("\n");
      this.showTraps(attentio.masks.traps(this.mask, queries, keys, own));
      this.grids.show(this.shown);
      const { group, invented: made } = this.all;
      const cut = Math.max(group.queries, group.keys) > MOST ? ` ${app.text("workshop.cut", { most: MOST })}` : "";
      this.source.textContent = app.text(made ? "workshop.invented" : "workshop.captured") + cut;
      this.lastOf.textContent = app.text("workshop.ofQueries", { queries: this.all.queryTokens.length });
    }

    showTraps(traps) {
      const { app } = this;
      const queryTokens = this.all.queryTokens.slice(-this.sizes().queries);
      const few = (rows) =>
        rows
          .slice(0, 4)
          .map((i) => app.quote(queryTokens[i]))
          .join(", ") + (rows.length > 4 ? ", …" : "");
      const items = traps.map(({ id, ...found }) =>
        app.element("li", {
          class: GRAVE.has(id) ? "grave" : "",
          "data-trap": id,
          text: app.text(`workshop.trap.${id}`, {
            ...found,
            rows: found.rows && few(found.rows),
            empty: found.rows?.length,
            query: app.quote(queryTokens[found.query] ?? ""),
            key: app.quote(this.all.keyTokens[found.key] ?? ""),
          }),
        }),
      );
      this.traps.replaceChildren(...items);
    }

    /** One pair in words: what each term says of it, and what became of its score. */
    read(i, j) {
      const { app, shown } = this;
      const { queries, keys } = this.sizes();
      const number = attentio.arithmetic.number;
      const says = this.terms.terms.map(({ mask, not }) => {
        const may = attentio.masks.allows(mask, i, j, keys - queries) !== not;
        return `${not ? "~" : ""}at.${mask.kind} ${may ? "✓" : "✗"}`;
      });
      const may = shown.allowed[i][j];
      this.readout.textContent = app.text(may ? "workshop.readMay" : "workshop.readMayNot", {
        query: app.quote(this.all.queryTokens.slice(-queries)[i]),
        key: app.quote(this.all.keyTokens[j]),
        says: says.join(" · ") || "–",
        score: number(shown.scores[i][j]),
        weight: number(shown.weights[i][j]),
        free: number(shown.free[i][j]),
      });
      app.say(this.readout.textContent);
    }

    /** For PNG and SVG. */
    picture() {
      if (!this.shown) return null;
      const { queryTokens, keyTokens } = this.all;
      const tokens = { queries: queryTokens.slice(-this.sizes().queries), keys: keyTokens };
      return attentio.workshopPicture(this.app, { ...this.shown, ...tokens, code: this.python.textContent });
    }
  }

  attentioViews.push({
    id: "workshop",
    titleKey: "workshop.title",
    wide: true,
    uses: [],
    available: (payload) => payload.groups.length > 0,
    mount(element, app) {
      const workshop = new Workshop(element, app);
      return {
        update(changed) {
          if (!workshop.all || ["group", "layer", "head", "item"].some((name) => changed.has(name))) workshop.load();
          else if (changed.has("language")) workshop.resize();
        },
        picture: () => workshop.picture(),
      };
    },
  });
})();
