/* What stands around the views: heading, choices, settings, notes, keys that work everywhere, exports. */
(() => {
  "use strict";

  const KEYS = [["[ ]", "keys.head"], ["{ }", "keys.layer"], ["w", "keys.words"], ["s", "keys.scale"], ["t", "keys.theme"], ["l", "keys.lecture"],
    ["Tab", "keys.tab"], ["←↑→↓", "keys.arrows"], ["+ − 0", "keys.zoom"], ["Enter", "keys.strongest"], ["Esc", "keys.escape"], ["?", "keys.help"]];

  const LONGEST = 400;  // letters of a sentence in the heading

  attentio.frame = (app) => {
    heading(app);
    notes(app);
    settings(app, helpDialog(app));
    if (app.payload.groups.length) {
      choices(app);
      attentio.answer(app);
      attentio.overview(app);
      attentio.address.follow(app);
    }
    attentio.framed(app);
    printing(app);
  };

  /** Shows at the right end of a scroller's frame whether more is there. */
  attentio.goesOn = (scroller) => {
    const show = () => scroller.parentElement.classList.toggle("goes-on", scroller.scrollLeft + scroller.clientWidth < scroller.scrollWidth - 1);
    const observer = new ResizeObserver(show);
    for (const each of [scroller, scroller.firstChild]) observer.observe(each);
    scroller.addEventListener("scroll", show);
  };

  function heading(app) {
    const { title, tokens } = app.payload, sentence = document.getElementById("sentence");
    const name = () => title || (app.payload.workshop ? app.text("workshop.title") : "attentio");
    document.getElementById("title").textContent = name();
    app.on((changed) => { if (changed.has("language")) document.getElementById("title").textContent = name(); });
    document.getElementById("title").classList.toggle("long", title.length > 60);
    const written = (list) => {
      const { version } = app.payload.groups.length ? app.group() : {}, name = version ? `${version}:${list}` : list;
      const text = tokens[name]?.[Math.min(app.state.item, tokens[name].length - 1)].sentence ?? "";
      return text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text;
    };
    const close = (text) => text.replace(/<[^<>\s]+>|\[[A-Z]+\]|[\s␣]/g, "");
    const show = () => {
      // A title often is the sentence already.
      const [source, target] = [written("source"), written("target")].map((text) => (close(title).includes(close(text)) ? "" : text));
      const parts = [...(source ? [source] : []), ...(target ? [null, target] : [])];
      sentence.replaceChildren(...parts.map((text) => (text === null ? app.element("span", { class: "to", text: " → " })
        : app.element("bdi", { text }))));
    };
    app.on((changed) => { if (changed.has("item") || changed.has("group")) show(); });
    show();
  }

  function notes(app) {
    const place = document.getElementById("notes");
    place.hidden = !app.payload.notes.length;
    const show = () => place.replaceChildren(...app.payload.notes.map(({ key, values }) => app.element("p", { text: app.text(key, values) })));
    app.on((changed) => { if (changed.has("language")) show(); });
    show();
  }

  function settings(app, help) {
    const make = app.element, place = document.getElementById("settings");
    const language = make("select", { labelKey: "settings.language", on: { change: () => app.set({ language: language.value }) } },
      make("option", { value: "en", text: "English" }), make("option", { value: "ko", text: "한국어" }));
    language.value = app.state.language;
    const button = (labelKey, text, act) => make("button", { type: "button", class: "icon", labelKey, on: { click: act } },
      make("span", { "aria-hidden": "true", text }));
    const theme = button("settings.theme", "◐", () => toggleTheme(app));
    const lecture = make("button", { type: "button", class: "icon lecture", key: "settings.lectureShort", labelKey: "settings.lecture",
      on: { click: () => toggleLecture(app) } });
    lecture.hidden = !app.payload.groups.length;
    document.addEventListener("fullscreenchange", () => app.set({ lecture: Boolean(document.fullscreenElement) }));
    const link = make("button", { type: "button", class: "icon", key: "settings.linkShort", labelKey: "settings.link",
      on: { click: () => copyLink(app) } });
    link.hidden = window !== window.top || !app.payload.groups.length;
    const tour = app.payload.groups.length ? [attentio.tour(app)] : [];
    place.append(language, theme, ...tour, lecture, link, button("settings.png", "PNG", () => save(app, "png")), button("settings.svg", "SVG", () => save(app, "svg")),
      make("button", { type: "button", class: "icon print", key: "settings.print", on: { click: () => print() } }), button("settings.keys", "?", () => help.showModal()));
    document.addEventListener("keydown", (event) => {
      if (event.target.closest("input, select, textarea, dialog, [contenteditable]")) return;
      if (!app.state.keys || event.ctrlKey || event.metaKey || event.altKey) return;
      const act = { "?": () => help.showModal(), t: () => toggleTheme(app), l: () => { if (app.payload.groups.length) toggleLecture(app); }, s: () => { if (app.payload.groups.length) nextScale(app); },
        w: () => { if (app.payload.groups.length && hasWords(app)) app.set({ words: !app.state.words }); }, "[": () => step(app, 0, -1), "]": () => step(app, 0, 1),
        "{": () => step(app, -1, 0), "}": () => step(app, 1, 0) }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
  }

  async function copyLink(app) {
    try {
      await navigator.clipboard.writeText(location.href);
      app.say(app.text("settings.linkCopied"));
    } catch {
      prompt(app.text("settings.link"), location.href);  // a browser that keeps its clipboard to itself
    }
  }

  // A whole screen where the browser gives one; the large type in any case.
  function toggleLecture(app) {
    const lecture = !app.state.lecture;
    app.set({ lecture });
    if (!lecture && document.fullscreenElement) document.exitFullscreen();
    else if (lecture) document.documentElement.requestFullscreen?.().catch(() => {});
  }

  const toggleTheme = (app) => app.set({ theme: app.state.theme === "dark" ? "light" : "dark" });

  function nextScale(app) {
    const { SCALES } = attentio.colours;
    app.set({ scale: SCALES[(SCALES.indexOf(app.state.scale) + 1) % SCALES.length] });
  }

  // Another layer or head, as far as there are; the mean of the heads stays one.
  function step(app, layers, heads) {
    if (!app.payload.groups.length) return;
    const { entries } = app.group();
    const layer = Math.min(entries.length - 1, Math.max(0, app.state.layer + layers)), last = entries[layer].heads.length - 1;
    const head = Math.min(last, heads ? Math.max(0, app.state.head + heads) : app.state.head);
    attentio.chooseHead(app, layer, head);
    app.say(attentio.headName(app));
  }

  const hasWords = (app) => Boolean(app.words("query") || app.words("key"));

  function choices(app) {
    const make = app.element, place = document.getElementById("choices"), { groups } = app.payload;
    const select = (name, key) => {
      const change = () => {
        const value = ["scale", "without", "measure"].includes(name) ? node.value : Number(node.value), { layer, head } = { ...app.state, [name]: value };
        if (name === "layer" || name === "head") attentio.chooseHead(app, layer, head);
        else app.set({ [name]: value });
      };
      const node = make("select", { on: { change } });
      return { name, node, label: make("label", {}, make("span", { key }), node) };
    };
    const [group, item, layer, head, measure, scale, without] = [["group", "choice.group"], ["item", "choice.item"], ["layer", "choice.layer"],
      ["head", "choice.head"], ["measure", "choice.measure"], ["scale", "choice.scale"], ["without", "choice.without"]].map(([name, key]) => select(name, key));
    const words = make("input", { type: "checkbox", on: { change: () => app.set({ words: words.checked }) } });
    const wordsLabel = make("label", { class: "check" }, words, make("span", { key: "choice.words" }));
    const rule = make("p", { class: "hint rule", key: "words.rule" }), said = make("p", { class: "hint measured" }), agreed = make("div", { class: "agreed" });
    const more = make("details", { class: "more" }, make("summary", { key: "choice.more" }),
      ...[measure, scale, without].map((each) => each.label), wordsLabel);
    const narrow = matchMedia("(max-width: 640px)"), fold = () => { more.open = !narrow.matches; };
    narrow.addEventListener("change", fold);
    fold();
    place.append(...[group, item, layer, head].map((each) => each.label), more, rule, said, agreed);

    const fill = ({ name, node, label }, options, hidden) => {
      node.replaceChildren(...options.map(([value, text]) => make("option", { value, text })));
      node.value = app.state[name];
      label.hidden = hidden;
    };
    // Told apart by the call and its size, or by the name of the module, where the role does not.
    const groupName = (group) => {
      const role = attentio.role(app, group), others = groups.filter((each) => each !== group && attentio.role(app, each) === role);
      const size = ` · ${group.queries} × ${group.keys}`;
      if (!others.length) return role;
      return others.some((each) => each.name !== group.name) ? `${role} · ${group.name}${size}` : `${role}${size}`;
    };
    const agree = async () => {
      const wanted = (agree.wanted = attentio.measures.agreements(app)), found = await wanted;
      if (agree.wanted !== wanted) return;
      const number = (each) => (Number.isNaN(each) ? "–" : each.toFixed(2).replace("-", "−"));
      agreed.replaceChildren(make("p", { id: "agreed", text: app.text("measured.agreement") }), make("table", { "aria-labelledby": "agreed" }, make("tbody", {},
        ...found.map(([each, correlation]) => make("tr", {}, make("th", { scope: "row", text: app.text(`measure.${each}`) }), make("td", { text: number(correlation) }))))));
    };
    const show = () => {
      const now = app.group(), entry = app.entry();
      fill(group, groups.map((each, at) => [at, groupName(each)]), groups.length < 2);
      fill(item, Array.from({ length: now.items }, (_, at) => [at, at + 1]), now.items < 2);
      fill(layer, now.entries.map((each, at) => [at, each.layer]), now.entries.length < 2);
      const mean = attentio.hasMean(app) ? [[-1, app.text("choice.mean")]] : [];
      fill(head, [...mean, ...entry.heads.map((number, at) => [at, number])], entry.heads.length < 2);
      const uses = app.shownView()?.uses ?? [];
      fill(scale, attentio.colours.SCALES.map((each) => [each, app.text(`scale.${each}`)]), !uses.includes("scale"));
      fill(without, ["", "sink", "special"].map((each) => [each, app.text(`without.${each || "nothing"}`)]), !uses.includes("scale"));
      const measures = attentio.measures.available(app), chosen = attentio.measures.shown(app);
      fill(measure, measures.map((each) => [each, app.text(`measure.${each}`)]), measures.length < 2 || !uses.includes("scale"));
      measure.node.value = chosen;
      said.hidden = chosen === "weight" || !uses.includes("scale");
      said.textContent = app.text(`measured.${chosen}`);
      agreed.hidden = chosen !== "erased" || said.hidden;
      if (!agreed.hidden) agree();
      group.node.title = now.name;
      wordsLabel.hidden = !hasWords(app) || !uses.includes("words");
      words.checked = app.state.words;
      rule.hidden = !app.state.words || wordsLabel.hidden;
      more.hidden = [measure, scale, without].every((each) => each.label.hidden) && wordsLabel.hidden;
    };
    app.on(show);
    show();
  }

  function helpDialog(app) {
    const make = app.element;
    // Without heads there are light and dark, the next control, and this list.
    const some = app.payload.groups.length ? KEYS : KEYS.filter(([keys]) => ["t", "Tab", "←↑→↓", "?"].includes(keys));
    const rows = some.map(([keys, key]) => make("tr", {}, make("th", { scope: "row" }, make("kbd", { text: keys })), make("td", { key })));
    const letters = make("input", { type: "checkbox", on: { change: () => app.set({ keys: letters.checked }) } });
    letters.checked = true;
    const dialog = make("dialog", { "aria-labelledby": "keys-title" }, make("h2", { id: "keys-title", key: "settings.keys" }),
      make("table", {}, make("tbody", {}, ...rows)),
      make("label", { class: "check" }, letters, make("span", { key: "keys.letters" })),
      make("form", { method: "dialog" }, make("button", { class: "icon", key: "keys.close" })));
    document.body.append(dialog);
    return dialog;
  }

  // On paper everything is light, and as large as the paper.
  function printing(app) {
    let theme = null;
    addEventListener("beforeprint", () => { theme = app.state.theme; app.set({ theme: "light", paper: true }); });
    addEventListener("afterprint", () => { app.set({ theme: theme ?? app.state.theme, paper: false }); });
  }

  // Letters and digits of a text, for the name of a file.
  const plain = (text) => text.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 40);

  // The shown view as a file, always light, with its heading and what is to be seen.
  function save(app, kind) {
    const { theme } = app.state;
    app.state.theme = "light";  // for the time of the drawing only: no view hears of it
    document.documentElement.dataset.theme = "light";
    try { draw(app, kind); } finally {
      app.state.theme = theme;
      document.documentElement.dataset.theme = theme;
    }
  }

  function draw(app, kind) {
    const picture = app.picture();
    if (!picture) return;
    const answer = document.getElementById("answer"), said = answer.hidden ? "" : answer.querySelector(".said-large").textContent;
    const head = picture.heads ?? (app.payload.groups.length ? attentio.fullName(app) : "");
    const title = [document.getElementById("title").textContent, head, picture.heads ? "" : said].filter(Boolean);
    const top = 20 + 20 * title.length;
    const width = Math.ceil(Math.max(picture.width, 320) + 32), height = Math.ceil(picture.height + top + 16);
    const heading = (pen) => {
      pen.rect(0, 0, width, height, app.color("panel"));
      title.forEach((line, at) => pen.text(16, 26 + 20 * at, attentio.pen.fitted(line, at ? 12 : 15, width - 32, !at),
        { size: at ? 12 : 15, bold: !at, color: app.color(at ? "soft" : "ink") }));
    };
    const view = app.text(app.shownView().titleKey);
    const name = `${[app.payload.title || "attentio", view, head].map(plain).filter(Boolean).join("_")}.${kind}`;
    if (kind === "svg") {
      const pen = new attentio.pen.SvgPen(width, height);
      heading(pen);
      pen.shifted(16, top, () => picture.draw(pen));
      hand(new Blob([pen.toString()], { type: "image/svg+xml" }), name);
      return;
    }
    const ratio = Math.min(2, Math.sqrt(60e6 / (width * height)));
    const canvas = document.createElement("canvas");
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    heading(new attentio.pen.CanvasPen(context));
    context.translate(16, top);
    picture.draw(new attentio.pen.CanvasPen(context));
    canvas.toBlob((blob) => hand(blob, name));
  }

  function hand(blob, download) {
    const href = URL.createObjectURL(blob), link = document.createElement("a");
    Object.assign(link, { href, download });
    link.click();
    setTimeout(() => URL.revokeObjectURL(href), 10000);
  }
})();
