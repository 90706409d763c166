/*
 * The editor of a mask: terms in a row, each of them joined by & or | to all that stands before it.
 *
 * A term: {kind, join: "and" | "or", not, align | length | before, after | keyStarts, queryStarts (of segments: the
 * places, of a Set, at which another one begins)}. sizes: {queries, keys, own, queryTokens, keyTokens}.
 */
(() => {
  "use strict";

  const KINDS = ["causal", "padding", "window", "segments"];

  /** The number of its segment for each of the last `count` of `total` positions. */
  function segmentIds(starts, total, count) {
    let id = 0;
    const ids = Array.from({ length: total }, (_, at) => (at > 0 && starts.has(at) ? (id += 1) : id));
    return ids.slice(total - count);
  }

  /** A term as attentio.masks has it. */
  function maskOf(term, { queries, keys, own, queryTokens }) {
    if (term.kind !== "segments") return term;
    const queryIds = own
      ? segmentIds(term.keyStarts, keys, queries)
      : segmentIds(term.queryStarts, queryTokens.length, queries);
    return { kind: "segments", queryIds, keyIds: segmentIds(term.keyStarts, keys, keys) };
  }

  function fresh(kind, keys) {
    const half = Math.ceil(keys / 2);
    return {
      kind,
      join: "and",
      not: false,
      ...{
        causal: { align: "end" },
        padding: { length: Math.max(1, keys - 1) },
        window: { before: 2, after: 0 },
        segments: { keyStarts: new Set([half]), queryStarts: new Set() },
      }[kind],
    };
  }

  attentio.workshopTerms = (app, changed) => {
    const make = app.element;
    const list = make("ol", { class: "terms" });
    const adding = make(
      "div",
      { class: "adding", role: "group", labelKey: "workshop.add" },
      ...KINDS.map((kind) =>
        make(
          "button",
          {
            type: "button",
            on: {
              click: () => {
                terms.push(fresh(kind, sizes.keys));
                show();
                changed();
                list.lastChild.querySelector("select, button").focus();
              },
            },
          },
          make("span", { "aria-hidden": "true", text: "+ " }),
          make("code", { text: `at.${kind}` }),
        ),
      ),
    );
    const element = make("div", { class: "workshop-terms" }, list, adding);
    let terms = [],
      sizes = null;

    const code = (text) => make("code", { text });

    function number(term, name, labelKey, least, most) {
      const input = make("input", {
        type: "number",
        min: least,
        max: most,
        value: term[name],
        labelKey,
        on: {
          input: () => {
            const value = Math.round(Number(input.value));
            if (input.value === "" || !(value >= least && value <= most)) return; // half typed
            term[name] = value;
            changed();
          },
        },
      });
      return input;
    }

    function select(term, name, labelKey, options) {
      const node = make(
        "select",
        {
          labelKey,
          on: {
            change: () => {
              term[name] = node.value;
              changed();
            },
          },
        },
        ...options.map(([value, text]) => make("option", { value, text })),
      );
      node.value = term[name];
      return node;
    }

    /** The tokens as switches: a segment begins here. */
    function chips(term, name, tokens, labelKey) {
      const paint = () =>
        [...row.children].forEach((chip, at) => {
          const id = segmentIds(term[name], tokens.length, tokens.length)[at];
          chip.dataset.segment = id % 4;
          if (at) chip.setAttribute("aria-pressed", String(term[name].has(at)));
        });
      const toggle = (at) => {
        if (!term[name].delete(at)) term[name].add(at);
        paint();
        changed();
      };
      const chip = (token, at) =>
        make(
          "button",
          {
            type: "button",
            class: "chip",
            disabled: at === 0,
            tabindex: at === 1 ? 0 : -1,
            on: { click: () => toggle(at) },
          },
          make("bdi", { text: token }),
        );
      const row = make("div", { class: "chips", role: "group", labelKey }, ...tokens.map(chip));
      row.addEventListener("keydown", (event) => {
        const at = [...row.children].indexOf(document.activeElement);
        const next = row.children[at + ({ ArrowRight: 1, ArrowLeft: -1 }[event.key] ?? 0)];
        if (!next || next.disabled || next === document.activeElement) return;
        document.activeElement.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      });
      paint();
      return row;
    }

    const PARAMETERS = {
      causal: (term) => [
        code("at.causal(align="),
        select(term, "align", "workshop.align", [
          ["end", '"end"'],
          ["start", '"start"'],
        ]),
        code(")"),
      ],
      padding: (term) => [
        code("at.padding("),
        number(term, "length", "workshop.length", 0, sizes.keys),
        code(")"),
        make("span", { class: "hint", text: app.text("workshop.ofKeys", { keys: sizes.keys }) }),
      ],
      window: (term) => [
        code("at.window("),
        number(term, "before", "workshop.before", 0, sizes.keys),
        code(","),
        number(term, "after", "workshop.after", 0, sizes.keys),
        code(")"),
        make("span", { class: "hint", key: "workshop.windowHint" }),
      ],
      segments: (term) => [
        code("at.segments("),
        make("span", { class: "hint", key: "workshop.segmentsHint" }),
        code(")"),
        ...(sizes.own ? [] : [chips(term, "queryStarts", sizes.queryTokens, "workshop.querySegments")]),
        chips(term, "keyStarts", sizes.keyTokens, "workshop.keySegments"),
      ],
    };

    function item(term, at) {
      const join = at
        ? select(term, "join", "workshop.join", [
            ["and", `&  ${app.text("workshop.and")}`],
            ["or", `|  ${app.text("workshop.or")}`],
          ])
        : make("code", { class: "assigned", text: "mask =" });
      const not = make(
        "button",
        {
          type: "button",
          class: "not",
          "aria-pressed": String(term.not),
          labelKey: "workshop.not",
          on: {
            click: () => {
              term.not = !term.not;
              not.setAttribute("aria-pressed", String(term.not));
              changed();
            },
          },
        },
        make("code", { text: "~" }),
      );
      const remove = make(
        "button",
        {
          type: "button",
          class: "icon",
          labelKey: "workshop.remove",
          on: {
            click: () => {
              terms.splice(at, 1);
              show();
              changed();
              adding.firstChild.focus();
            },
          },
        },
        make("span", { "aria-hidden": "true", text: "✕" }),
      );
      return make("li", { "data-kind": term.kind }, join, not, ...PARAMETERS[term.kind](term), remove);
    }

    function show() {
      const empty = make(
        "li",
        {},
        make("code", { text: "mask = None" }),
        make("span", { class: "hint", key: "workshop.everything" }),
      );
      list.replaceChildren(...(terms.length ? terms.map(item) : [empty]));
    }

    return {
      element,
      /** These terms, for a sentence of this size. */
      reset(nextTerms, nextSizes) {
        terms = nextTerms.map((term) => ({ ...fresh(term.kind, nextSizes.keys), ...term }));
        this.resize(nextSizes);
      },
      resize(nextSizes) {
        sizes = nextSizes;
        show();
      },
      /** [{mask, not, join}] for attentio.masks.combine. */
      get terms() {
        return terms.map((term) => ({ mask: maskOf(term, sizes), not: term.not, join: term.join }));
      },
    };
  };
})();
