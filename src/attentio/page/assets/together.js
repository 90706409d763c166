/*
 * Several heads in one picture of arcs: which, each with a colour of its own, and what they are called.
 *
 * Six at most: so many colours can be told apart with every kind of colour vision, on light and on dark. A head keeps
 * its colour, and its place among the stripes beside the tokens, until it is taken out.
 */
(() => {
  "use strict";

  const MOST = 6;
  const OF_A_HEAD = ["weight", "value", "gradient"];  // the other measures are the same for all heads

  const at = (heads, layer, head) => heads.find((one) => one[0] === layer && one[1] === head);

  /** The heads of the picture as {layer, head, colour: its name}: those that were put together, or the chosen one. */
  function shown(app) {
    const { layer, head, together } = app.state;
    if (together.length < 2 || !possible(app)) return [{ layer, head, colour: "accent" }];
    return [...together].sort((a, b) => a[2] - b[2])
      .map((one) => ({ layer: one[0], head: one[1], colour: `head-${one[2] + 1}` }));
  }

  const possible = (app) => OF_A_HEAD.includes(attentio.measures.shown(app));

  const name = (app, { layer, head }) => {
    const entry = app.group().entries[layer];
    return app.text(head < 0 ? "head.shortMean" : "head.short", { layer: entry.layer, head: entry.heads[head] });
  };

  /** Put a head to the others, or take it out; the last one stays. */
  function toggle(app, layer, head) {
    const now = app.state.together.length ? app.state.together : app.state.head < 0 ? [] : [[app.state.layer, app.state.head, 0]];
    const before = at(now, layer, head), free = Array.from({ length: MOST }, (_, slot) => slot).find((slot) => now.every((one) => one[2] !== slot));
    const next = before ? now.filter((one) => one !== before) : [...now, [layer, head, free]];
    const last = next.at(-1);
    if (last) app.set({ layer: last[0], head: last[1], together: next.length > 1 ? next : [] });
  }

  /** All heads of the chosen kind, those that it explains best first. */
  function ofKind(app) {
    const { entries } = app.group(), { kind } = app.state;
    const all = entries.flatMap((entry, layer) => entry.heads.map((_, head) => ({ layer, head, does: app.does(layer, head) })));
    return all.filter(({ does }) => does?.kind === kind).sort((a, b) => b.does.share - a.does.share).slice(0, MOST);
  }

  /** The numbers of a layer's heads, to be put together, and the heads of other layers that were. */
  function picker(app) {
    const make = app.element, element = make("div", { class: "together", role: "toolbar", labelKey: "together.title", on: { keydown: (event) => move(event) } });

    function chip(layer, head, text) {
      const { together } = app.state, one = at(together, layer, head), full = together.length >= MOST && !one;
      const pressed = together.length ? Boolean(one) : layer === app.state.layer && head === app.state.head;
      const label = `${name(app, { layer, head })}: ${app.text(`kind.${app.does(layer, head).kind}`)}`;
      const node = make("button", { type: "button", class: "chip-head", "aria-pressed": String(pressed), "data-place": `${layer}.${head}`,
        "aria-label": label, title: full ? app.text("together.most", { most: MOST }) : label, disabled: full,
        on: { click: () => toggle(app, layer, head) } }, make("span", { text }));
      if (one) {
        const swatch = make("span", { class: "swatch" });
        swatch.style.background = app.color(`head-${one[2] + 1}`);
        node.prepend(swatch);
      }
      return node;
    }

    function update() {
      const { layer, together, kind } = app.state, { entries } = app.group(), focus = document.activeElement?.closest?.(".chip-head")?.dataset.place;
      element.hidden = !possible(app) || entries.every((entry) => entry.heads.length < 2) && entries.length < 2;
      if (element.hidden) return;
      const several = ofKind(app), others = together.filter((one) => one[0] !== layer);
      const button = (text, act) => make("button", { type: "button", class: "chip-head", "data-place": text, text, on: { click: act } });
      element.replaceChildren(make("span", { text: app.text("together.layer", { layer: entries[layer].layer }) }),
        ...entries[layer].heads.map((number, head) => chip(layer, head, number)),
        ...others.map((one) => chip(one[0], one[1], `${entries[one[0]].layer}.${entries[one[0]].heads[one[1]]}`)),
        ...(several.length > 1 ? [button(app.text("together.kind", { kind: app.text(`kind.${kind}`) }), () => {
          app.set({ layer: several[0].layer, head: several[0].head, together: several.map((one, slot) => [one.layer, one.head, slot]) });
        })] : []),
        ...(together.length ? [button(app.text("together.none"), () => app.set({ together: [] }))] : []));
      const held = focus && element.querySelector(`[data-place="${CSS.escape(focus)}"]:enabled`);
      enter(held || element.querySelector("[aria-pressed='true']") || element.querySelector("button"));
      held?.focus();
    }

    // One stop for Tab: arrow keys move among the numbers.
    function move(event) {
      const buttons = [...element.querySelectorAll("button:enabled")], at = buttons.indexOf(event.target);
      const goal = buttons[{ ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: buttons.length - 1 }[event.key]];
      if (!goal) return;
      event.preventDefault();
      enter(goal);
      goal.focus();
    }

    function enter(button) {
      for (const each of element.querySelectorAll("button")) each.tabIndex = each === button ? 0 : -1;
    }

    return { element, update };
  }

  attentio.together = { MOST, shown, name, picker };
})();
