/*
 * Two columns of tokens, those that look and those that are looked at, and a line for each weight: the wider and
 * stronger, the more. A chosen token keeps its lines; the others step back. Rows stand at their absolute positions.
 * Several heads lie over one another, each in its colour; a stripe of each is beside the tokens that are looked at.
 */
(() => {
  "use strict";

  const line = () => (attentio.app.state.lecture ? 32 : 26), size = () => (attentio.app.state.lecture ? 20 : 14);
  const TOP = 34, MOST_LINES = 1500, STRIPE = 6, PACE = 900;  // PACE: milliseconds a query
  const ON_PAPER = 640, LONGEST = 12000;  // pixels of a sheet's width, and of a canvas that every browser draws

  class Arcs {
    constructor(element, app) {
      Object.assign(this, { element, app, matrix: null, heads: [], hover: null, waiting: false });
      const make = app.element;
      this.readout = make("p", { class: "reading" });
      this.bar = make("span", { class: "chance filling", "aria-hidden": "true" }, make("span", {}));
      this.least = make("input", { type: "range", min: "0", max: "100", labelKey: "arcs.least",
        on: { input: () => { this.leastText(); this.soon(); } } });
      this.leastShown = make("output", {});
      this.play = make("button", { type: "button", class: "icon play", key: "arcs.play", "aria-pressed": "false", on: { click: () => this.turn() } });
      this.picker = attentio.together.picker(app);
      this.canvas = make("canvas", { "aria-hidden": "true" });
      this.spacer = make("div", { class: "spacer" }, this.canvas);
      this.scroller = make("div", { class: "scroller", tabindex: "0", role: "application", "aria-describedby": "arcs-keys",
        labelKey: "arcs.title" }, this.spacer);
      element.append(make("div", { class: "bar" }, make("div", {}, this.readout, this.bar),
        make("div", { class: "buttons" }, this.play,
          make("label", { class: "buttons" }, make("span", { key: "arcs.least" }), this.least, this.leastShown))),
        this.picker.element, make("div", { class: "framed" }, this.scroller), make("p", { id: "arcs-keys", class: "hint", key: "arcs.keys" }));
      this.listen();
      // At first from three times an even share, where that is less than 0.03.
      this.least.value = String(Math.round(100 * Math.cbrt(2 * Math.min(0.03, 3 / app.group().keys))));
      this.leastText();
    }

    listen() {
      const { scroller } = this;
      attentio.goesOn(scroller);
      scroller.addEventListener("scroll", () => this.soon());
      scroller.addEventListener("pointermove", (event) => this.hovered(this.under(event)));
      scroller.addEventListener("pointerleave", () => this.hovered(null));
      scroller.addEventListener("click", (event) => this.choose(this.under(event)));
      scroller.addEventListener("keydown", (event) => this.key(event));
      new ResizeObserver(() => { if (this.matrix && this.app.state.view === "arcs") this.resize(); }).observe(scroller.parentElement);
    }

    // One query after another: what it looks at, and in a generated text the token that comes of it. At rest where the
    // reader wants no motion, and then only by the arrow keys or the space bar.
    turn() {
      if (this.playing) return this.stop();
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches, last = this.sides[0].length - 1;
      const { row } = this.app.state;
      const on = () => {
        const now = this.app.state.row ?? -1;
        if (now >= last || this.app.state.view !== "arcs") return this.stop();
        this.app.set({ row: now + 1, column: null });
      };
      this.playing = { timer: still ? null : setInterval(on, PACE), on };
      this.play.setAttribute("aria-pressed", "true");
      if (row == null || row >= last) this.app.set({ row: 0, column: null });
      else this.app.set({ column: null });
      this.soon();
    }

    stop() {
      clearInterval(this.playing?.timer);
      this.playing = null;
      this.play.setAttribute("aria-pressed", "false");
      this.soon();
    }

    // While it is played, the queries to come are not there yet.
    upTo() { return this.playing ? (this.app.state.row ?? 0) : Infinity; }

    // Of little weights the slider knows more than of large ones.
    leastWeight() { return 0.5 * (Number(this.least.value) / 100) ** 3; }

    leastText() {
      this.leastShown.textContent = this.app.number(this.leastWeight(), 2);
      this.least.setAttribute("aria-valuetext", this.leastShown.textContent);
    }

    async update() {
      this.picker.update();
      const heads = (this.wanted = attentio.together.shown(this.app));
      const matrices = await Promise.all(heads.map(({ layer, head }) => this.app.matrix(layer, head)));
      if (heads !== this.wanted) return;
      const group = this.app.group();
      heads.forEach((one, at) => Object.assign(one, { matrix: matrices[at], tones: attentio.tones(this.app, matrices[at]) }));
      Object.assign(this, { heads, matrix: matrices[0], hover: null, sides: [this.app.tokens("query"), this.app.tokens("key")],
        start: group.kind === "self" && !this.app.state.words ? group.queryStart : 0 });
      this.read();
      this.resize();
      this.reveal();
      this.draw();
    }

    resize() {
      const [rows, columns] = this.sides, tall = TOP + Math.max(rows.length + this.start, columns.length) * line() + 10;
      this.spacer.style.height = `${tall}px`;
      this.scroller.style.height = `${Math.min(tall, Math.max(320, attentio.screen() * 0.72))}px`;
      const { clientWidth, clientHeight } = this.scroller, { paper } = this.app.state;  // paper has no scroll bars
      const width = paper ? Math.min(ON_PAPER, clientWidth) : clientWidth, height = paper ? Math.min(tall, LONGEST) : clientHeight;
      Object.assign(this, { width, height, tall, ratio: devicePixelRatio || 1 });
      this.canvas.width = width * this.ratio;
      this.canvas.height = height * this.ratio;
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
      this.soon();
    }

    soon() {
      if (this.waiting) return;
      this.waiting = true;
      requestAnimationFrame(() => { this.waiting = false; this.draw(); });
    }

    draw() {
      if (!this.matrix || !this.width) return;
      const context = this.canvas.getContext("2d");
      context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      this.paint(new attentio.pen.CanvasPen(context), this.width, this.height, this.app.state.paper ? 0 : this.scroller.scrollTop);
    }

    // Where the columns end and begin: the lines have the middle.
    edges(width) {
      const half = Math.min(190, width * 0.18);
      return [width / 2 - half, width / 2 + half];
    }

    middle(side, at) { return TOP + (at + (side ? 0 : this.start) + 0.5) * line(); }

    paint(pen, width, height, y) {
      const { app, sides } = this, [left, right] = this.edges(width), focus = this.focus();
      pen.rect(0, 0, width, height, app.color("panel"));
      const first = (side) => Math.max(0, Math.floor((y - TOP) / line()) - (side ? 0 : this.start));
      const last = (side) => Math.min(sides[side].length, Math.ceil((y + height - TOP) / line()) - (side ? 0 : this.start));
      const aside = 8 + this.stripes();
      pen.clip(0, TOP - 4, width, height - TOP + 4, () => {
        for (const { one, row, column, faded } of this.lines(first(0), last(0), focus)) {
          if (row > this.upTo()) continue;
          const tone = one.tones.at(row, column).value;
          if (Number.isNaN(tone)) continue;  // left out
          const at = attentio.colours.position(tone, app.state.scale, attentio.colours.decades(app.group().keys));
          pen.curve(left + aside, this.middle(0, row) - y, right - aside, this.middle(1, column) - y, app.color(one.colour),
            0.6 + 5 * at, (0.1 + 0.85 * at) * (faded ? 0.12 : 1));
        }
        for (const side of [0, 1]) {
          for (let at = first(side); at < last(side) && (side || at <= this.upTo()); at += 1) this.token(pen, side, at, y, side ? right : left, width, focus);
        }
      });
      const head = { size: size() - 2, color: app.color("soft") };
      pen.rect(0, 0, width, TOP - 6, app.color("panel"));
      pen.text(left, 20, app.text("arcs.from"), { ...head, align: "right" });
      pen.text(right, 20, app.text("arcs.to"), head);
    }

    token(pen, side, at, y, x, width, focus) {
      const { app } = this, share = this.shareOf(side, at, focus), chosen = focus?.side === side && focus.at === at;
      const middle = this.middle(side, at) - y, text = attentio.pen.fitted(this.sides[side][at], size(), width * 0.3);
      const wide = attentio.pen.width(text, size(), chosen) + 12;
      if (share > 0.001) {  // how much of the chosen token's attention is here
        pen.rect(side ? x - 2 : x - wide + 2, middle - 11, wide, 22, attentio.colours.cell(app, { code: 3, value: share }, app.group().keys).fill);
      }
      const { ink } = attentio.colours.cell(app, { code: 3, value: share }, app.group().keys);
      const color = chosen ? app.color("accent") : share > 0.001 ? ink : app.color(focus ? "soft" : "ink");
      pen.text(side ? x + 4 : x - 4, middle + 5, text, { size: size(), align: side ? "left" : "right", bold: chosen, color });
      this.heads.forEach((one, number) => {
        const { value } = this.weight(one.matrix, side, at, focus);
        if (!this.stripes() || !(value >= this.leastWeight())) return;
        const part = 0.15 + 0.85 * attentio.colours.position(value, app.state.scale, attentio.colours.decades(app.group().keys));
        const from = side ? x - 4 - this.stripes() + STRIPE * number : x + 4 + STRIPE * number;
        pen.rect(from, middle - 10, STRIPE - 1, 20, attentio.colours.between(app.color("panel"), app.color(one.colour), part).fill);
      });
    }

    // Pixels beside a column in which each of several heads has a stripe.
    stripes() { return this.heads.length > 1 ? STRIPE * this.heads.length : 0; }

    // What is between the chosen token and one on the other side.
    weight(matrix, side, at, focus) {
      if (!focus || focus.side === side) return { value: 0 };
      return side ? matrix.at(focus.at, at) : matrix.at(at, focus.at);
    }

    shareOf(side, at, focus) {
      const { value } = this.weight(this.matrix, side, at, focus);
      return !this.stripes() && value >= this.leastWeight() ? value : 0;
    }

    // The lines from visible rows, the strongest last; those of the chosen token whatever is visible.
    lines(from, to, focus) {
      const found = this.heads.flatMap((one) => this.linesOf(one, from, to, focus));
      found.sort((a, b) => b.faded - a.faded || a.value - b.value);
      return found.slice(-MOST_LINES);
    }

    linesOf(one, from, to, focus) {
      const { matrix } = one, { columns, codes, values } = matrix, least = Math.max(this.leastWeight(), 1e-6), found = [];
      const row = (r) => {
        for (let column = 0; column < columns; column += 1) {
          const value = values[codes[r * columns + column]];
          if (value >= least) found.push({ one, row: r, column, value, faded: focus && (focus.side ? column : r) !== focus.at });
        }
      };
      for (let r = from; r < to; r += 1) row(r);
      if (focus?.side === 0 && (focus.at < from || focus.at >= to)) row(focus.at);
      if (focus?.side === 1) {
        for (let r = 0; r < matrix.rows; r += 1) {
          const { value } = matrix.at(r, focus.at);
          if ((r < from || r >= to) && value >= least) found.push({ one, row: r, column: focus.at, value, faded: false });
        }
      }
      return found;
    }

    // The token whose lines are shown: under the pointer, or chosen.
    focus() {
      if (this.hover) return this.hover;
      const { row, column } = this.app.state;
      return row != null ? { side: 0, at: row } : column != null ? { side: 1, at: column } : null;
    }

    under(event) {
      const box = this.canvas.getBoundingClientRect(), [left, right] = this.edges(this.width);
      const across = event.clientX - box.left, down = event.clientY - box.top;
      if (down < TOP - 4 || (across > left + 12 && across < right - 12)) return null;
      const side = across >= right - 12 ? 1 : 0;
      const at = Math.floor((down + this.scroller.scrollTop - TOP) / line()) - (side ? 0 : this.start);
      return at >= 0 && at < this.sides[side].length ? { side, at } : null;
    }

    hovered(token) {
      if (token?.side === this.hover?.side && token?.at === this.hover?.at) return;
      this.hover = token;
      this.read();
      this.soon();
    }

    choose(token) {
      const now = this.app.state;
      if (!token || (token.side ? now.column === token.at && now.row == null : now.row === token.at)) {
        this.app.set({ row: null, column: null });
      } else this.app.set(token.side ? { row: null, column: token.at } : { row: token.at, column: null });
    }

    read() {
      const focus = this.focus();
      const said = focus ? this.sentence(focus) : this.app.text("arcs.start");
      const chance = focus && !focus.side ? this.chance(focus.at) : null;
      this.readout.textContent = chance === null ? said : `${said} · ${this.app.text("translation.chance")} ${this.app.percent(chance)}`;
      this.bar.hidden = chance === null;
      this.bar.firstChild.style.width = `${100 * (chance ?? 0)}%`;
    }

    // How likely the token was that came of a query, where that is known.
    chance(at) {
      const { app } = this, target = /(^|:)target$/.test(app.group().queryTokens) && !app.state.words;
      return (target && app.payload.alternatives?.[app.state.item]?.[at]?.find(([, , said]) => said)?.[1]) || null;
    }

    sentence({ side, at }) {
      const { app, sides, heads } = this;
      const named = (one) => `${attentio.together.name(app, one)}: ${this.strongest(one.matrix, side, at, 2)}`;
      const list = heads.length > 1 ? heads.map(named).join("; ") : this.strongest(this.matrix, side, at, 5);
      return app.text(side ? "arcs.seenBy" : "arcs.looksAt", { token: app.quote(sides[side][at]), list });
    }

    strongest(matrix, side, at, most) {
      const { app, sides } = this, count = side ? matrix.rows : matrix.columns;
      const all = Array.from({ length: count }, (_, other) => ({ other, ...(side ? matrix.at(other, at) : matrix.at(at, other)) }));
      const best = all.filter(({ value }) => value > 0.0005).sort((a, b) => b.value - a.value).slice(0, most);
      return best.map(({ other, value }) => `${app.quote(sides[1 - side][other])} ${app.number(value, 2)}`).join(", ") || app.text("arcs.nothing");
    }

    key(event) {
      const { app } = this, focus = this.focus() ?? { side: 0, at: -1 }, page = event.shiftKey ? 10 : 1;
      const last = (side) => this.sides[side].length - 1;
      const goal = { ArrowUp: [focus.side, focus.at - page], ArrowDown: [focus.side, focus.at + page], Home: [focus.side, 0],
        End: [focus.side, last(focus.side)], ArrowLeft: [0, Math.max(0, focus.at - (focus.side ? this.start : 0))],
        ArrowRight: [1, Math.max(0, focus.at + (focus.side ? 0 : this.start))] }[event.key];
      if (event.key === " ") {
        if (this.playing && !this.playing.timer) this.playing.on();
        else this.turn();
      } else if (event.key === "Escape") {
        this.stop();
        app.set({ row: null, column: null });
      }
      else if (goal) {
        const [side, at] = goal, within = Math.min(last(side), Math.max(0, at));
        this.hover = null;
        app.set(side ? { row: null, column: within } : { row: within, column: null });
        app.say(this.sentence({ side, at: within }));
      } else return;
      event.preventDefault();
    }

    reveal() {
      const focus = this.focus();
      if (!focus || this.hover) return;
      const middle = this.middle(focus.side, focus.at), { scrollTop } = this.scroller;
      if (middle - line() < scrollTop + TOP || middle + line() > scrollTop + this.height) this.scroller.scrollTop = middle - this.height / 2;
    }

    picture() {
      if (!this.matrix) return null;
      const width = Math.min(this.width, 760), whole = this.tall <= 4000, height = whole ? this.tall : this.height;
      const draw = (pen) => this.paint(pen, width, height, whole ? 0 : this.scroller.scrollTop);
      if (!this.stripes()) return { width, height, draw };
      const { app } = this, names = this.heads.map((one) => attentio.together.name(app, one));
      return { width, height: height + 18 * names.length + 8, heads: `${attentio.role(app)}: ${names.join("; ")}`, draw: (pen) => {
        draw(pen);
        names.forEach((name, at) => {
          pen.rect(8, height + 4 + 18 * at, 12, 12, app.color(this.heads[at].colour));
          pen.text(28, height + 14 + 18 * at, name, { size: 12, color: app.color("ink") });
        });
      } };
    }
  }

  attentioViews.push({
    id: "arcs",
    titleKey: "arcs.title",
    wide: false,
    uses: ["scale", "words"],
    available: (payload) => payload.groups.length > 0,
    mount: (element, app) => new Arcs(element, app),
  });
})();
