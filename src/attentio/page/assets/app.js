/*
 * The state of the page, and how a view takes part in it.
 *
 * All scripts of the page are joined into one, this one first. Each is `(() => { "use strict"; .. })();` and shares
 * what others need through `attentio` (attentio.data, attentio.colours, ..) or by registering a view:
 *
 *   attentioViews.push({
 *     id: "heat",                      // unique; names the tab and its panel
 *     titleKey: "heat.title",          // the tab's name, a key of strings.en.json and strings.ko.json
 *     wide: false,                     // true: no overview of layers and heads beside it, and no sentence above
 *     ofHeads: true,                   // false: about no head, so that none is chosen above it
 *     uses: ["scale", "words"],        // the choices that change something here, besides layer, head and sentence
 *     available: (payload) => true,    // false: no tab
 *     mount(element, app) {            // once, when first shown; element is an empty <section>
 *       return {
 *         update(changed) {},          // when shown, and whenever the state changed while it is shown (a Set of the
 *                                      // names in app.state that changed since the last call; at first all of them)
 *         picture() { return null; },  // for PNG and SVG: {width, height, draw(pen)}, see pen.js; or null
 *       };
 *     },
 *   });
 *
 * app.payload        the JSON of the page: title, groups, tokens, alternatives, notes, items (see payload.py)
 * app.state          {view, group, layer, head, item, row, column, words, scale, without, measure, pin, together, kind, sort, language, theme, paper, lecture, keys};
 *                    only read it.
 *                    group, layer, item: places in payload.groups, group.entries, the batch. head: a place in
 *                    entry.heads, or -1 for their mean. row, column: the chosen cell, or null; of words, if words are
 *                    joined (words: true). scale: "sqrt" | "linear" | "log" | "even" | "row". without: "" | "sink" |
 *                    "special", keys that are left out of the colours. theme: "light" | "dark". measure: "weight" | "value" |
 *                    "gradient" | "erased" | "rollout", see measures.js. pin: {group, layer, head}
 *                    to compare with; layer, head: null for those that are shown. together: [layer, head, place of its
 *                    colour] of each head in one picture of arcs; only the chosen one where it is empty. kind, sort: of the heads in the overview. paper: being printed. lecture: before a class. keys: whether single letters do something.
 * app.set({..})      change some of it; every listener and the shown view hear of it before set returns
 * app.on(listener)   listener(changed): for what is always there; views have update() instead
 * app.group()        of payload.groups: {name, kind, call, items, queries, keys, queryStart, .., entries}
 * app.entry()        the layer: {name, layer (its number as text), heads (their numbers), ..}
 * app.tokens("query" | "key")   what to write at the rows or columns (textContent, never innerHTML); words if joined
 * app.pieces("query" | "key")   the same, never joined: what parts() and the decoding itself are about
 * app.raw("query" | "key")      the same with the marks of the tokenizer
 * app.named("query" | "key", place)   a token within a sentence, with its raw form where that is another
 * app.namedPiece("query" | "key", place)   the same, never joined
 * app.matrix(layer, head)   Promise of the chosen measure, at first the weights, of a head, the chosen one unless told, joined as chosen (see data.js: Matrix)
 * app.parts()        Promise of {query, key, value, scores: Float32Array, allowed: Uint8Array | null, scale: number |
 *                    null, queryDimensions, valueDimensions} of the chosen layer and head, row by row; null where
 *                    there are none (capture(parts=True) was not used, or the mean of the heads is chosen)
 * app.text(key, {name: value})  the string in the chosen language, with {name} filled in
 * app.does(layer, head)         what a head does on this text: {kind, share, evenness, sink, telling, cell} (describe.py)
 * app.number(value, digits)     a weight or score for people: 3 significant digits unless told
 * app.percent(share)            "99 %", "0.71 %"
 * app.quote(token)   a token within a sentence, kept from turning the direction of the text around it
 * app.say(text)      have a screen reader say it
 * app.color(name)    the value of a colour of page.css: app.color("accent")
 * app.element(tag, {attribute: value, on: {click: ..}, text: "..", key: "string key"}, ...children)
 *                    a DOM node; text is set as textContent; key is translated, and again when the language changes
 *                    (labelKey does the same to aria-label and title)
 */
const attentio = {};
const attentioViews = [];

(() => {
  "use strict";

  const payload = JSON.parse(document.getElementById("attentio-payload").textContent);
  const state = { view: null, group: 0, layer: 0, head: 0, item: 0, row: null, column: null, words: false,
    scale: "sqrt", without: "", measure: "weight", pin: null, together: [], kind: null, sort: "layers", language: "en", theme: "light", paper: false, lecture: false, keys: true };
  const listeners = [];
  const colors = new Map();  // asking for a style takes long, and drawing asks often
  const panels = new Map();  // view id to {view, element, handle once mounted, behind: names changed unseen}

  const app = {
    payload,
    state,
    set(changes) {
      const before = { ...state };
      Object.assign(state, changes);
      const cellChosen = "row" in changes || "column" in changes;
      if (state.together.length && !("together" in changes) && ["group", "layer", "head"].some((name) => state[name] !== before[name])) state.together = [];
      if (["group", "item", "words"].some((name) => state[name] !== before[name])) limitChoice(cellChosen);
      const changed = new Set(Object.keys(state).filter((name) => state[name] !== before[name]));
      if (!changed.size) return;
      if (changed.has("theme")) document.documentElement.dataset.theme = state.theme;
      if (changed.has("lecture")) document.documentElement.toggleAttribute("data-lecture", state.lecture);
      if (changed.has("language")) translate(document.documentElement);
      for (const listener of listeners) listener(changed);
      for (const panel of panels.values()) for (const name of changed) panel.behind.add(name);
      refresh();
    },
    on(listener) { listeners.push(listener); },
    group() { return payload.groups[state.group]; },
    entry() { return app.group().entries[state.layer]; },
    tokens(side) {
      const words = state.words && app.words(side);
      return words ? words.map((word) => shown(word[2])) : app.pieces(side);
    },
    pieces(side) {
      const { list, from, count } = place(side);
      return list.labels.slice(from, from + count).map(shown);
    },
    raw(side) {
      const { list, from, count } = place(side);
      return (list.raw ?? list.labels).slice(from, from + count).map(shown);
    },
    named(side, at) {
      return app.state.words ? app.quote(app.tokens(side)[at]) : app.namedPiece(side, at);
    },
    namedPiece(side, at) {
      const label = app.pieces(side)[at], raw = app.raw(side)[at];
      return raw === label ? app.quote(label) : `${app.quote(label)} (${app.quote(raw)})`;
    },
    does(layer = state.layer, head = state.head) { return app.group().entries[layer].does[state.item]?.[head] ?? null; },
    // The words of a side as [first piece, end, label], or null where the tokens are words already.
    words(side) {
      const { list, from, count } = place(side);
      const inside = (word) => word[0] >= from && word[1] <= from + count;
      return list.words ? list.words.filter(inside).map(([start, end, text]) => [start - from, end - from, text]) : null;
    },
    matrix(layer = state.layer, head = state.head) { return attentio.data.matrix(app, layer, head); },
    parts() { return attentio.data.parts(app.entry(), state.item, state.head); },
    picture() { return panels.get(state.view)?.handle?.picture?.() ?? null; },
    text(key, values = {}) {
      const text = payload.strings[state.language][key] ?? key;
      return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
    },
    number(value, digits = 3) {
      if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value < 0 ? "−∞" : "∞";
      if (value !== 0 && Math.abs(value) < 1e-4) return value.toExponential(digits - 1).replaceAll("-", "−");
      return value === 0 ? "0" : value.toPrecision(digits).replace("-", "−");
    },
    percent(share) {
      if (share > 0 && share < 0.0005) return "< 0.1 %";
      if (share > 0.99 && share < 0.9995) return "99 %";  // all is all
      return `${share >= 0.0995 || share === 0 ? Math.round(100 * share) : (100 * share).toPrecision(2)} %`;
    },
    quote(token) { return `“\u2068${token}\u2069”`; },
    say(text) { document.getElementById("said").textContent = text; },
    color(name) {
      const key = `${state.theme} ${name}`;
      if (!colors.has(key)) colors.set(key, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
      return colors.get(key);
    },
    element,
  };

  function place(side) {
    const group = app.group();
    const lists = payload.tokens[group[`${side}Tokens`]];
    return { list: lists[Math.min(state.item, lists.length - 1)], from: side === "query" ? group.queryFrom : 0,
      count: side === "query" ? group.queries : group.keys };
  }

  function shown(label) { return label ?? app.text("padding"); }

  function element(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
      else if (name === "text") node.textContent = value;
      else if (name === "key") node.dataset.string = value;
      else if (name === "labelKey") node.dataset.stringLabel = value;
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value != null) node.setAttribute(name, value);
    }
    node.append(...children);
    translate(node);
    return node;
  }

  function translate(root) {
    for (const node of [root, ...root.querySelectorAll("[data-string], [data-string-label]")]) {
      if (node.dataset.string) node.textContent = app.text(node.dataset.string);
      if (node.dataset.stringLabel) {
        node.setAttribute("aria-label", app.text(node.dataset.stringLabel));
        if (node.tagName === "BUTTON") node.title = app.text(node.dataset.stringLabel);
      }
    }
    // Costly, as all styles are worked out anew: not for every new element.
    if (root === document.documentElement) root.lang = state.language;
  }

  app.shownView = () => panels.get(state.view)?.view ?? null;

  // Another group may have fewer layers and heads, another sentence other tokens.
  function limitChoice(cellChosen) {
    const group = app.group();
    state.layer = Math.min(state.layer, group.entries.length - 1);
    state.head = Math.min(state.head, group.entries[state.layer].heads.length - 1);
    state.item = Math.min(state.item, group.items - 1);
    if (state.head < 0 && !attentio.hasMean(app)) state.head = 0;
    // A kind that no head has here would hide them all, and nothing could be pressed to show them again.
    if (!group.entries.some((entry) => entry.does[state.item]?.some(({ kind }) => kind === state.kind))) state.kind = null;
    if (state.together.some(([layer, head]) => !group.entries[layer]?.heads[head])) state.together = [];
    if (state.row >= app.tokens("query").length) state.row = null;
    if (state.column >= app.tokens("key").length) state.column = null;
    if (!cellChosen) [state.row, state.column] = state.words || state.head < 0 ? [null, null] : app.does().cell;
  }

  function refresh() {
    for (const [id, panel] of panels) {
      panel.element.hidden = id !== state.view;
      const tab = document.getElementById(`tab-${id}`);
      tab.setAttribute("aria-selected", String(id === state.view));
      tab.tabIndex = id === state.view ? 0 : -1;
    }
    const panel = panels.get(state.view);
    if (!panel) return;
    const { entries } = payload.groups.length ? app.group() : { entries: [] };
    const one = entries.every((entry) => entry.heads.length < 2) && entries.length < 2;
    document.getElementById("overview").hidden = Boolean(panel.view.wide) || one;
    document.getElementById("answer").hidden = Boolean(panel.view.wide) || !entries.length;
    document.getElementById("choices").hidden = panel.view.ofHeads === false;
    panel.handle ??= panel.view.mount(panel.element, app) ?? {};
    const { behind } = panel;
    panel.behind = new Set();
    if (behind.size) panel.handle.update?.(behind);
  }

  function addPanels() {
    const tabs = document.getElementById("tabs");
    for (const view of attentioViews.filter((each) => each.available(payload))) {
      tabs.append(element("button", { id: `tab-${view.id}`, role: "tab", type: "button", key: view.titleKey,
        "aria-controls": `panel-${view.id}`, on: { click: () => app.set({ view: view.id }) } }));
      const panel = element("section", { id: `panel-${view.id}`, role: "tabpanel", "aria-labelledby": `tab-${view.id}` });
      document.getElementById("panels").append(panel);
      panels.set(view.id, { view, element: panel, handle: null, behind: new Set(Object.keys(state)) });
    }
    tabs.hidden = panels.size < 2;
    tabs.addEventListener("keydown", (event) => {
      const ids = [...panels.keys()], at = ids.indexOf(state.view);
      const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: ids.length - 1 }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      app.set({ view: ids[(next + ids.length) % ids.length] });
      document.getElementById(`tab-${state.view}`).focus();
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    const language = payload.language ?? (navigator.language.startsWith("ko") ? "ko" : "en");
    const dark = matchMedia("(prefers-color-scheme: dark)");
    Object.assign(state, { language, theme: dark.matches ? "dark" : "light" });
    document.documentElement.dataset.theme = state.theme;
    dark.addEventListener("change", () => app.set({ theme: dark.matches ? "dark" : "light" }));
    let view = null;
    if (payload.groups.length) {
      Object.assign(state, payload.opening);
      [state.row, state.column] = app.does().cell;
      // Of several versions, the first is what the others are compared with.
      const { name, kind, version } = app.group(), first = payload.groups[0].version;
      const same = payload.groups.findIndex((each) => each.version === first && each.kind === kind && (each.name === name || version));
      if (version && version !== first && same >= 0) state.pin = { group: same, layer: null, head: null };
      state.scale = app.group().keys > 1024 ? "log" : "sqrt";
      const { view: wanted, ...linked } = attentio.address.read(payload);
      view = wanted;
      Object.assign(state, linked);
      limitChoice(!attentio.address.anew());
    }
    translate(document.documentElement);
    addPanels();
    attentio.frame(app);
    app.set({ view: panels.has(view) ? view : (panels.keys().next().value ?? null) });
  });

  attentio.app = app;
})();
