/* The last steps: how likely each token of the vocabulary is, and how the chosen one goes back into the next step. */
(() => {
  "use strict";

  const LARGEST_PLAIN = 30; // as in arithmetic.js
  const percent = (chance) => `${attentio.arithmetic.number(100 * chance)} %`;

  /** The listed tokens of a query, the likeliest first, and which of them was said. */
  function listed(words, query, said) {
    const logSum = words.log_sum[query];
    const shift = Math.abs(logSum) > LARGEST_PLAIN ? logSum : 0;
    const tokens = words.tokens[query].map(([token, logit]) => ({
      token,
      logit,
      exp: Math.exp(logit - shift),
      chance: Math.exp(logit - logSum),
    }));
    return { tokens, shift, sum: Math.exp(logSum - shift), chosen: tokens.findIndex(({ token }) => token === said) };
  }

  function words(about) {
    return {
      name: "words",
      code: about.code,
      line: false,
      glance({ app, query, token }) {
        const { tokens, chosen } = listed(about, query, token);
        return app.element("span", { class: "said" }, app.element("bdi", { text: token }), ` ${percent(tokens[chosen]?.chance)}`);
      },
      numbers({ app, query, token }) {
        const { number } = attentio.arithmetic, { tokens, chosen, sum, shift } = listed(about, query, token);
        const one = tokens[chosen];
        if (!one) return "";
        const logit = shift ? `${number(one.logit)} − ${number(shift)}` : number(one.logit);
        return `p(${app.quote(token)}) = exp(${logit}) / Σ exp = ${number(one.exp)} / ${number(sum)} = ${number(one.chance)}`;
      },
      detail({ app, query, token }) {
        const make = app.element, { column } = attentio.arithmetic;
        const { tokens, shift, sum, chosen } = listed(about, query, token);
        const logits = column(tokens.map(({ logit }) => logit));
        const exps = column([...tokens.map(({ exp }) => exp), sum]);
        const chances = column([...tokens.map(({ chance }) => 100 * chance), 100]);
        const exp = shift ? `exp(l − ${attentio.arithmetic.number(shift)})` : "exp(l)";
        const heading = (text) => make("th", { scope: "col", text });
        const bar = (chance) => {
          const cell = make("td", { class: "weight" });
          cell.style.setProperty("--part", `${100 * chance}%`);
          return cell;
        };
        const rows = tokens.map(({ token: each, chance }, at) => {
          const cell = bar(chance);
          cell.textContent = chances[at];
          return make(
            "tr",
            { "aria-current": at === chosen && "true" },
            make("th", { scope: "row" }, make("bdi", { text: each })),
            make("td", { text: logits[at] }),
            make("td", { text: exps[at] }),
            cell,
          );
        });
        const others = app.text("steps.vocabulary", { size: about.size });
        const sums = [exps, chances].map((texts) => make("td", { text: texts.at(-1) }));
        const foot = make("tr", {}, make("th", { scope: "row", text: others }), make("td", {}), ...sums);
        return make(
          "div",
          {},
          make("div", { class: "framed" }, make(
            "table",
            { class: "keys words" },
            make("caption", { class: "unseen", key: "steps.words" }),
            make("thead", {}, make("tr", {}, make("th", { scope: "col", key: "steps.token" }),
              heading(app.text("steps.logit")), heading(exp), heading(app.text("steps.chance")))),
            make("tbody", {}, ...rows),
            make("tfoot", {}, foot),
          )),
          ...(chosen > 0 ? [make("p", { class: "hint", key: "steps.notLikeliest" })] : []),
        );
      },
    };
  }

  /** What the next step is given. */
  function back(stage) {
    return {
      name: "onward",
      code: stage.code,
      line: false,
      glance: ({ app, token, last }) =>
        app.element("span", { class: "said" }, app.element("bdi", { text: token }), last ? " ■" : " ↩"),
      numbers: ({ app, said, query, last }) =>
        app.text(last ? "steps.ends" : "steps.goesBack", { said, now: query + 1, next: query + 2 }),
      detail: ({ app, query, said, last }) =>
        app.element(
          "div",
          { class: "vectors given" },
          ...(last ? [] : stage.vectors.map((vector) => attentio.vectors.row(app, vector, query, { read: said, said }))),
        ),
    };
  }

  attentio.stepsWords = { words, back };
})();
