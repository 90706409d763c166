/*
 * Masks as expressions: the algebra of attentio/attention/mask.py, so that a browser can try masks out.
 *
 * A mask is plain data: {kind: "causal", align} | {kind: "padding", length} | {kind: "window", before, after} |
 * {kind: "segments", queryIds, keyIds} | {kind: "and" | "or", left, right} | {kind: "not", inner}; null = everything.
 * True = may attend. Where queries and keys differ in number, query i stands at key position i + shift, shift = k - q.
 */
(() => {
  "use strict";

  const RULES = {
    causal: (mask, i, j, shift) => j <= (mask.align === "end" ? i + shift : i),
    padding: (mask, i, j) => j < mask.length,
    window: (mask, i, j, shift) => j - (i + shift) >= -mask.before && j - (i + shift) <= mask.after,
    segments: (mask, i, j) => mask.queryIds[i] === mask.keyIds[j],
    and: (mask, i, j, shift) => allows(mask.left, i, j, shift) && allows(mask.right, i, j, shift),
    or: (mask, i, j, shift) => allows(mask.left, i, j, shift) || allows(mask.right, i, j, shift),
    not: (mask, i, j, shift) => !allows(mask.inner, i, j, shift),
  };

  /** May query i attend to key j? */
  function allows(mask, i, j, shift) {
    return mask === null || RULES[mask.kind](mask, i, j, shift);
  }

  /** The mask for this many queries and keys: one array of booleans a query. */
  function materialize(mask, queries, keys) {
    const places = (n) => Array.from({ length: n }, (_, place) => place);
    return places(queries).map((i) => places(keys).map((j) => allows(mask, i, j, keys - queries)));
  }

  /** Terms in a row, [{mask, not, join: "and" | "or"}], as one mask: each joined to all that stands before it. */
  function combine(terms) {
    return terms.reduce((left, { mask, not, join }) => {
      const right = not ? { kind: "not", inner: mask } : mask;
      return left === null ? right : { kind: join, left, right };
    }, null);
  }

  const TIGHTNESS = { or: 1, and: 2, not: 3 };

  /** The same mask in attentio's Python: {definitions: ["lengths = ..", ..], expression: "at.causal() & .."}. */
  function python(mask) {
    const defined = []; // tensors by name; equal ones have one name
    const named = (stem, value) => {
      const text = `torch.tensor([${value}])`;
      const known = defined.find((one) => one.stem === stem && one.text === text);
      if (known) return known.name;
      const number = defined.filter((one) => one.stem === stem).length + 1;
      const name = number > 1 ? `${stem}_${number}` : stem;
      defined.push({ stem, text, name });
      return name;
    };
    const ids = (numbers) => `[${numbers.join(", ")}]`;
    const written = {
      causal: ({ align }) => (align === "end" ? "at.causal()" : 'at.causal(align="start")'),
      padding: ({ length }) => `at.padding(${named("lengths", length)})`,
      window: ({ before, after }) => `at.window(${before}, ${after})`,
      segments: ({ queryIds, keyIds }) => {
        if (ids(queryIds) === ids(keyIds)) {
          const name = named("ids", ids(keyIds));
          return `at.segments(${name}, ${name})`;
        }
        return `at.segments(${named("query_ids", ids(queryIds))}, ${named("key_ids", ids(keyIds))})`;
      },
      and: ({ left, right }) => `${within(left, "and")} & ${within(right, "and")}`,
      or: ({ left, right }) => `${within(left, "or")} | ${within(right, "or")}`,
      not: ({ inner }) => `~${within(inner, "not")}`,
    };
    const within = (inner, outer) => {
      const text = written[inner.kind](inner);
      return (TIGHTNESS[inner.kind] ?? 4) < TIGHTNESS[outer] ? `(${text})` : text;
    };
    const expression = mask === null ? "None" : written[mask.kind](mask);
    return { definitions: defined.map(({ name, text }) => `${name} = ${text}`), expression };
  }

  /** Does the mask promise, somewhere not negated, that no later key is seen? */
  function promisesCausal(mask, negated = false) {
    if (mask === null) return false;
    if (mask.kind === "causal") return !negated;
    if (mask.kind === "not") return promisesCausal(mask.inner, !negated);
    return "left" in mask && (promisesCausal(mask.left, negated) || promisesCausal(mask.right, negated));
  }

  const uses = (mask, test) =>
    mask !== null && (test(mask) || [mask.left, mask.right, mask.inner].some((part) => part && uses(part, test)));

  /** What a mask is likely to surprise with: [{id, ...its evidence}], the gravest first. `own`: queries are the keys. */
  function traps(mask, queries, keys, own) {
    const allowed = materialize(mask, queries, keys);
    const shift = keys - queries;
    const found = [];
    const pairs = allowed.flatMap((row, i) => row.flatMap((may, j) => (may && j > i + shift ? [[i, j]] : [])));
    if (own && pairs.length && promisesCausal(mask)) {
      found.push({ id: "future", count: pairs.length, query: pairs[0][0], key: pairs[0][1] });
    }
    const empty = allowed.flatMap((row, i) => (row.some(Boolean) ? [] : [i]));
    if (empty.length) found.push({ id: "empty", rows: empty });
    if (!own && uses(mask, ({ kind }) => kind === "causal" || kind === "window")) found.push({ id: "foreign" });
    if (shift !== 0 && uses(mask, ({ kind, align }) => kind === "causal" && align === "start")) {
      found.push({ id: "start", shift });
    }
    const seen = 1 + Math.max(-1, ...allowed.map((row) => row.lastIndexOf(true)));
    const padded = uses(mask, ({ kind }) => kind === "padding") && seen < keys;
    if (own && padded && allowed.some((row, i) => i + shift >= seen && row.some(Boolean))) {
      found.push({ id: "padded", from: seen });
    }
    if (mask !== null && allowed.every((row) => row.every(Boolean))) found.push({ id: "all" });
    return found;
  }

  attentio.masks = { allows, materialize, combine, python, traps };
})();
