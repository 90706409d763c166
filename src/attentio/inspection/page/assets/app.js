/*
 * The state of the page, and how a view takes part in it.
 *
 * All scripts of the page are joined into one, this one first. Each is `(() => { "use strict"; .. })();` and shares
 * what others need through `attentio` (data.js: attentio.data, ..) or by registering a view:
 *
 *   attentioViews.push({
 *     id: "heat",                      // unique; names the tab and its panel
 *     titleKey: "heat.title",          // the tab's name, a key of strings.en.json and strings.ko.json
 *     wide: false,                     // true: no overview of layers and heads beside it
 *     available: (payload) => true,    // false: no tab
 *     mount(element, app) {            // once, when first shown; element is an empty <section>
 *       return {
 *         update(changed) {},          // when shown, and whenever the state changed while it is shown (a Set of
 *                                      // the names in app.state that changed since the last call; at first all)
 *         picture() { return null; },  // for the exports: {width, height, draw(pen)}, see export.js; or null
 *       };
 *     },
 *   });
 *
 * app.payload        the JSON of the page: title, groups, tokens, alternatives, notes, items (see payload.py)
 * app.state          {view, group, layer, head, item, row, column, words, scale, language, theme}; only read it.
 *                    group, layer, item: places in payload.groups, group.entries, the batch. head: a place in
 *                    entry.heads, or -1 for their mean. row, column: the chosen cell, or null. theme: "light"|"dark".
 * app.set({..})      change some of it; every listener and the shown view hear of it in the same task
 * app.on(listener)   listener(changed): for what is always there; views have update() instead
 * app.group()        of payload.groups: {name, kind, call, queries, keys, queryStart, queryTokens, keyTokens, entries}
 * app.entry()        the layer: {name, layer (its number as text), heads (their numbers), ..}
 * app.tokens("query" | "key")   labels of the rows or columns, ready to be shown (textContent, never innerHTML)
 * app.matrix()       Promise of the weights of the chosen layer and head (see data.js: Matrix)
 * app.parts()        Promise of {query, key, value, scores: Float32Array, allowed: Uint8Array | null, scale: number |
 *                    null, queryDimensions, valueDimensions} of the chosen layer and head, row by row; null where
 *                    there are none (capture(parts=True) was not used, or the mean of the heads is chosen)
 * app.text(key, {name: value})  the string in the chosen language, with {name} filled in
 * app.number(value, digits)     a weight or score for people: 3 significant digits unless told
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
  const state = { view: null, group: 0, layer: 0, head: 0, item: 0, row: null, column: null, words: false, scale: "sqrt",
    language: payload.language, theme: "light" };
  const listeners = [];
  const shown = {};  // mounted views by id: {element, handle, behind: names changed since the last update}

  const app = {
    payload,
    state,
    set(changes) {
      const changed = new Set(Object.keys(changes).filter((name) => state[name] !== changes[name]));
      if (!changed.size) return;
      Object.assign(state, changes);
      if (changed.has("group") || changed.has("item")) limitChoice();
      if (changed.has("language")) translate(document.body);
      for (const listener of listeners) listener(changed);
      for (const each of Object.values(shown)) for (const name of changed) each.behind.add(name);
      refresh();
    },
    on(listener) { listeners.push(listener); },
    group() { return payload.groups[state.group]; },
    entry() { return app.group().entries[state.layer]; },
    tokens(side) {
      const lists = payload.tokens[app.group()[`${side}Tokens`]];
      return lists[Math.min(state.item, lists.length - 1)];
    },
    matrix() { return attentio.data.matrix(app.group(), app.entry(), state.item, state.head); },
    parts() { return attentio.data.parts(app.entry(), state.item, state.head); },
    text(key, values = {}) {
      const text = payload.strings[state.language][key] ?? key;
      return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
    },
    number(value, digits = 3) {
      if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value < 0 ? "−∞" : "∞";
      if (value !== 0 && Math.abs(value) < 1e-4) return value.toExponential(digits - 2).replace("-", "−");
      return value.toPrecision(digits).replace("-", "−");
    },
    say(text) { document.getElementById("said").textContent = text; },
    color(name) { return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(); },
    element,
  };

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
    const nodes = [root, ...root.querySelectorAll("[data-string], [data-string-label]")];
    for (const node of nodes) {
      if (node.dataset.string) node.textContent = app.text(node.dataset.string);
      if (node.dataset.stringLabel) {
        node.setAttribute("aria-label", app.text(node.dataset.stringLabel));
        node.title = app.text(node.dataset.stringLabel);
      }
    }
    document.documentElement.lang = state.language;
  }

  // Another group may have fewer layers and heads, another sentence fewer tokens.
  function limitChoice() {
    state.layer = Math.min(state.layer, app.group().entries.length - 1);
    state.head = Math.min(state.head, app.entry().heads.length - 1);
    state.row = state.column = null;
  }

  function refresh() {
    for (const [id, each] of Object.entries(shown)) {
      each.element.hidden = id !== state.view;
      document.getElementById(`tab-${id}`).setAttribute("aria-selected", String(id === state.view));
    }
    const view = attentioViews.find((each) => each.id === state.view);
    if (!view) return;
    document.getElementById("overview").hidden = Boolean(view.wide);
    const each = shown[view.id];
    if (!each.handle) {
      each.handle = view.mount(each.element, app) ?? {};
      for (const name of Object.keys(state)) each.behind.add(name);
    }
    const behind = each.behind;
    each.behind = new Set();
    if (behind.size) each.handle.update?.(behind);
  }

  function start() {
    state.language ??= navigator.language.startsWith("ko") ? "ko" : "en";
    state.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    document.documentElement.dataset.theme = state.theme;
    document.getElementById("title").textContent = payload.title;
    const views = attentioViews.filter((view) => view.available(payload));
    for (const view of views) {
      const choose = () => app.set({ view: view.id });
      document.getElementById("tabs").append(
        element("button", { id: `tab-${view.id}`, role: "tab", "aria-controls": `panel-${view.id}`, key: view.titleKey,
          on: { click: choose } }));
      const panel = element("section", { id: `panel-${view.id}`, role: "tabpanel", "aria-labelledby": `tab-${view.id}` });
      document.getElementById("panels").append(panel);
      shown[view.id] = { element: panel, handle: null, behind: new Set() };
    }
    translate(document.body);
    app.set({ view: views[0].id });
  }

  attentio.app = app;
  document.addEventListener("DOMContentLoaded", start);
})();
