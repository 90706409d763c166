/*
 * All layers and heads at a glance, and what each does: a row for each layer, or a list in another order. One canvas a
 * layer is drawn behind cells that can be chosen.
 */
(() => {
  "use strict";

  const LARGEST = 72, SMALLEST = 8, STRIPE = 3, LISTED = 60, MOST_MEAN = 2 ** 18, ON_PAPER = 24;
  const SORTS = ["layers", "telling", "kind", "evenness", "sink"];
  const gapOf = (side) => (side < 14 ? 1 : 4);

  // What the chosen head is called: "layer 3 of 6, head 5".
  attentio.headName = (app, layer = app.state.layer, head = app.state.head) => {
    const { entries } = app.group(), entry = entries[layer];
    const names = { layer: entry.layer, layers: entries.length, head: entry.heads[head] };
    return app.text(head < 0 ? "head.mean" : "head.name", names);
  };

  // The same with what attends to what, as far as there is more than one: "decoder to source, layer 3 of 6, head 5".
  attentio.fullName = (app) => {
    const { entries } = app.group(), one = entries.length < 2 && entries[0].heads.length < 2;
    return one ? attentio.role(app) : `${attentio.role(app)}, ${attentio.headName(app)}`;
  };

  // What attends to what: "decoder to source".
  attentio.role = (app, group = app.group()) => {
    const { version } = group, others = app.payload.groups.filter((each) => each.version === version);
    const side = others.length > 1 ? /(^|\.)(encoder|decoder)(\.|$)/.exec(group.name)?.[2] : null;
    const role = app.text(`role.${group.kind === "cross" ? "cross" : (side ?? "self")}`);
    return version ? `${version}: ${role}` : role;
  };

  // Another head, and its largest weight where that of the head before was chosen.
  attentio.chooseHead = (app, layer, head) => {
    const { row, column, words } = app.state, own = (does) => does && !words && does.cell;
    const before = app.state.head < 0 ? null : own(app.does()), next = head < 0 ? null : own(app.does(layer, head));
    const follows = before && next && before[0] === row && before[1] === column;
    app.set({ layer, head, ...(follows ? { row: next[0], column: next[1] } : {}) });
  };

  // A mean of the heads needs all of them at once, which is too much of very large ones.
  attentio.hasMean = (app) => app.entry().heads.length > 1 && app.group().queries * app.group().keys <= MOST_MEAN;

  attentio.overview = (app) => {
    const place = document.getElementById("overview"), make = app.element;
    const caption = make("p", { class: "hint" });
    const kinds = make("div", { class: "kinds", role: "group", labelKey: "overview.kinds" });
    const sort = make("select", { on: { change: () => app.set({ sort: sort.value }) } });
    const grid = make("div", { role: "grid", class: "grid", labelKey: "overview.title" });
    place.append(make("h2", { key: "overview.title" }), caption, kinds,
      make("label", { class: "sort" }, make("span", { key: "overview.sort" }), sort), grid);
    let lines = [], loaded = [], side = LARGEST, turn = 0;  // lines: of {canvas, heads: [{layer, head, cell}]}
    const sheet = document.createElement("canvas");

    const doing = (layer, head) => app.does(layer, head);
    const fits = ({ layer, head }) => !app.state.kind || doing(layer, head)?.kind === app.state.kind;

    // Built anew for another group or order; drawn when the pictures are there.
    async function build() {
      const mine = (turn += 1), group = app.group();
      const focused = grid.contains(document.activeElement);
      const most = Math.max(...group.entries.map((entry) => entry.heads.length));
      place.style.setProperty("--heads", most);
      const room = (place.clientWidth || 340) - 66;
      const fitting = Math.floor(room / most);
      side = Math.max(SMALLEST, Math.min(LARGEST, fitting - gapOf(fitting)));
      if (app.state.paper) side = Math.min(side, ON_PAPER);
      caption.textContent = app.text(app.state.sort === "layers" ? "overview.caption" : "overview.sorted",
        { layers: group.entries.length, heads: most, rows: group.queries, columns: group.keys, most: LISTED });
      badges(group);
      grid.classList.toggle("sorted", app.state.sort !== "layers");
      if (app.state.sort === "layers") inLayers(group, most);
      else inOrder(group);
      choose();
      if (focused) grid.querySelector("[tabindex='0']")?.focus();
      loaded = loaded.of === group && loaded.item === app.state.item ? loaded : Object.assign([], { of: group, item: app.state.item });
      paint();
      for (const [layer, entry] of group.entries.entries()) {
        if (loaded[layer]) continue;
        const small = await attentio.data.thumbs(group, entry, app.state.item);
        if (mine !== turn) return;
        loaded[layer] = small;
        if (app.state.sort === "layers") paintLine(lines[layer]);
      }
      if (app.state.sort !== "layers") paint();
    }

    function badges(group) {
      const counts = new Map();
      for (const entry of group.entries) for (const { kind } of entry.does[app.state.item]) counts.set(kind, (counts.get(kind) ?? 0) + 1);
      const chip = ([kind, count]) => make("button", { type: "button", class: "chip-kind", "aria-pressed": String(app.state.kind === kind),
        "data-kind": kind, title: app.text(`rule.${kind}`), on: { click: () => app.set({ kind: app.state.kind === kind ? null : kind }) } },
        attentio.badge(app, kind), make("span", { class: "count", text: count }));
      const focus = document.activeElement?.closest?.(".chip-kind")?.dataset.kind;
      kinds.replaceChildren(...[...counts].sort((a, b) => order(a[0]) - order(b[0])).map(chip));
      if (focus) kinds.querySelector(`[data-kind="${focus}"]`)?.focus();
      sort.replaceChildren(...SORTS.map((each) => make("option", { value: each, text: app.text(`sort.${each}`) })));
      sort.value = app.state.sort;
    }

    const order = (kind) => attentio.kinds.indexOf(kind);

    function cellOf(layer, head, ...inside) {
      const does = doing(layer, head), name = attentio.headName(app, layer, head);
      const label = does ? `${name}: ${app.text(`kind.${does.kind}`)}${does.share ? ` ${app.percent(does.share)}` : ""}` : name;
      return make("div", { role: "gridcell", tabindex: "-1", class: "thumb", "data-layer": layer, "data-head": head,
        "aria-label": label, title: label, on: { click: () => take(layer, head) } }, ...inside);
    }

    function inLayers(group, most) {
      const gap = gapOf(side);
      grid.style.setProperty("--side", `${side}px`);
      grid.style.setProperty("--gap", `${gap}px`);
      const every = Math.ceil(18 / (side + gap)), numbers = group.entries.find((entry) => entry.heads.length === most).heads;
      const headings = make("div", { class: "numbers-of-heads", "aria-hidden": "true" },
        ...numbers.map((number, at) => make("span", { text: at % every ? "" : number })));
      lines = group.entries.map((entry, layer) => ({ canvas: make("canvas", { "aria-hidden": "true" }),
        heads: entry.heads.map((_, head) => ({ layer, head, x: head * (side + gap), y: 0, cell: cellOf(layer, head) })) }));
      const rows = lines.map(({ canvas, heads }, layer) => make("div", { role: "row", class: "layer-row", title: group.entries[layer].name },
        make("span", { role: "rowheader", class: "layer", text: group.entries[layer].layer }),
        make("div", { class: "strip-of-heads", role: "presentation" }, canvas, ...heads.map(({ cell }) => cell))));
      for (const line of lines) Object.assign(line, { width: most * (side + gap) - gap, height: side + STRIPE + 1 });
      grid.replaceChildren(headings, ...rows);
    }

    function inOrder(group) {
      side = 40;
      const all = group.entries.flatMap((entry, layer) => entry.heads.map((_, head) => ({ layer, head, does: doing(layer, head) })));
      const by = { telling: (a, b) => b.does.telling - a.does.telling, evenness: (a, b) => b.does.evenness - a.does.evenness,
        sink: (a, b) => b.does.sink - a.does.sink, kind: (a, b) => order(a.does.kind) - order(b.does.kind) || b.does.share - a.does.share };
      const shown = all.filter(fits).sort(by[app.state.sort]).slice(0, LISTED);
      lines = [{ canvas: make("canvas", { "aria-hidden": "true" }), width: side, height: shown.length * (side + 10), heads: [] }];
      const measure = (key, share) => {
        const line = make("span", { class: "chance", title: `${app.text(key)} ${app.percent(share)}` }, make("span", {}));
        line.firstChild.style.width = `${100 * share}%`;
        return line;
      };
      const rows = shown.map(({ layer, head, does }, at) => {
        const cell = cellOf(layer, head, make("span", { class: "listed-name",
          text: app.text("head.short", { layer: group.entries[layer].layer, head: group.entries[layer].heads[head] }) }),
          attentio.badge(app, does.kind, does.share), make("span", { class: "two-bars", "aria-hidden": "true" },
            measure("measure.evenness", does.evenness), measure("measure.sink", does.sink)));
        lines[0].heads.push({ layer, head, x: 0, y: at * (side + 10), cell });
        return make("div", { role: "row" }, cell);
      });
      grid.replaceChildren(lines[0].canvas, ...rows);
    }

    function paint() { for (const line of lines) paintLine(line); }

    function paintLine({ canvas, width, height, heads }) {
      const ratio = devicePixelRatio || 1, keys = app.group().keys;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
      const context = canvas.getContext("2d");
      context.scale(ratio, ratio);
      for (const one of heads) {
        context.globalAlpha = fits(one) ? 1 : 0.15;
        const matrix = loaded[one.layer]?.[one.head], does = doing(one.layer, one.head);
        if (matrix) picture(context, matrix, keys, one.x, one.y, side, ratio);
        context.fillStyle = does ? app.color(`kind-${does.kind.replace(" ", "-")}`) : app.color("line");
        if (app.state.sort === "layers") context.fillRect(one.x, one.y + side + 1, side, STRIPE);
      }
      context.globalAlpha = 1;
    }

    // A matrix within a square; of one that is larger than its picture, the largest weights.
    function picture(context, weights, keys, x, y, room, ratio) {
      const matrix = app.state.words ? weights : attentio.tones(app, weights);
      const longest = Math.max(matrix.rows, matrix.columns), small = matrix.level(Math.max(0, Math.floor(Math.log2(longest / (room * ratio)))));
      const image = new ImageData(small.columns, small.rows), pixels = new Uint32Array(image.data.buffer);
      const colours = attentio.colours.table(app, matrix, keys);
      for (let at = 0; at < pixels.length; at += 1) pixels[at] = colours[small.codes[at]];
      sheet.width = small.columns;
      sheet.height = small.rows;
      sheet.getContext("2d").putImageData(image, 0, 0);
      const wide = Math.max(4, (room * matrix.columns) / longest), tall = Math.max(4, (room * matrix.rows) / longest);
      context.imageSmoothingEnabled = small.columns > wide * ratio;
      context.drawImage(sheet, x + (room - wide) / 2, y + (room - tall) / 2, wide, tall);
    }

    function take(layer, head) {
      attentio.chooseHead(app, layer, head);
      app.say(cellAt(layer, head)?.getAttribute("aria-label") ?? attentio.headName(app));
    }

    const cellAt = (layer, head) => grid.querySelector(`[data-layer="${layer}"][data-head="${head}"]`);

    function choose() {
      const { layer, head } = app.state, all = lines.flatMap(({ heads }) => heads);
      for (const one of all) {
        one.cell.setAttribute("aria-selected", String(one.layer === layer && (head < 0 || one.head === head)));
        one.cell.tabIndex = -1;
      }
      const entry = cellAt(layer, Math.max(head, 0)) ?? all[0]?.cell;
      if (entry) entry.tabIndex = 0;
    }

    grid.addEventListener("keydown", (event) => {
      const rows = app.state.sort === "layers" ? lines.map(({ heads }) => heads) : lines[0].heads.map((one) => [one]);
      const at = event.target.closest("[role=gridcell]"), row = rows.findIndex((each) => each.some(({ cell }) => cell === at));
      if (row < 0) return;
      const column = rows[row].findIndex(({ cell }) => cell === at), last = (line) => rows[line].length - 1;
      const goal = { ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1],
        ArrowRight: [row, column + 1], Home: [row, 0], End: [row, last(row)] }[event.key];
      if (!goal) return;
      event.preventDefault();
      const next = Math.min(rows.length - 1, Math.max(0, goal[0])), one = rows[next][Math.min(last(next), Math.max(0, goal[1]))];
      take(one.layer, one.head);
      cellAt(one.layer, one.head).focus();
    });

    app.on((changed) => {
      if (["group", "item", "language", "sort", "paper"].some((name) => changed.has(name))) build();
      else if (changed.has("kind")) {
        if (app.state.sort === "layers") { badges(app.group()); paint(); } else build();
      } else if (["theme", "scale", "without", "words"].some((name) => changed.has(name))) paint();
      else if (changed.has("layer") || changed.has("head")) choose();
    });
    build();
    new ResizeObserver(debounced(() => { if (!place.hidden) build(); })).observe(place);
  };

  function debounced(act) {
    let timer = null, width = 0;
    return ([entry]) => {
      if (Math.abs(entry.contentRect.width - width) < 4) return;
      width = entry.contentRect.width;
      clearTimeout(timer);
      timer = setTimeout(act, 120);
    };
  }
})();
