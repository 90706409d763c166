/* One token of what the model reads is erased, hidden or replaced; what it said before and what it says then, side by side. */
(() => {
  "use strict";

  const WAIT = 350, MOST_COMPARED = 400, LESS = 0.05; // milliseconds after the last key; tokens; of a probability, that is marked
  const at = (id) => document.getElementById(id);
  const panel = at("change"), tokens = at("tokens"), word = at("token"), outcome = at("outcome"), said = at("changed"), failed = at("unchanged");
  const how = () => panel.querySelector("[name=how]:checked").value;
  let text = "", read = [], place = null, asking = null, timer = null, answer = null;

  // Another text: its tokens, and nothing changed.
  front.changeable = (newText, newTokens) => {
    [text, read] = [newText, newTokens];
    panel.hidden = false;
    forget();
    tokens.replaceChildren(...read.map((token, number) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: front.label(token), tabIndex: number ? -1 : 0 });
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => choose(number));
      return button;
    }));
  };

  function forget() {
    clearTimeout(timer);
    asking?.abort();
    [asking, place, answer] = [null, null, null];
    press();
    show();
    failed.textContent = "";
  }

  function choose(number) {
    if (place === number) return forget();
    place = number;
    press();
    if (how() === "replace" && !word.value) word.focus();
    return ask();
  }

  function press() {
    for (const [number, button] of [...tokens.children].entries()) {
      button.setAttribute("aria-pressed", String(number === place));
      button.tabIndex = number === (place ?? 0) ? 0 : -1;
    }
  }

  async function ask() {
    clearTimeout(timer);
    asking?.abort();
    failed.textContent = "";
    if (place === null) return;
    if (how() === "replace" && !word.value) {
      answer = null;
      show();
      said.textContent = front.text("change.write", { token: front.quote(front.label(read[place])) });
      return;
    }
    const mine = asking = new AbortController();
    said.textContent = front.text("waiting");
    panel.setAttribute("aria-busy", "true");
    try {
      answer = await front.post("/change", { text, place, how: how(), token: how() === "replace" ? word.value : "" }, mine.signal);
    } catch (error) {
      if (mine.signal.aborted) return;
      answer = null;
      failed.textContent = error.message;
    }
    if (mine !== asking) return;
    asking = null;
    panel.removeAttribute("aria-busy");
    show();
  }

  function show() {
    outcome.hidden = !answer;
    said.textContent = answer ? sentence() : "";
    if (!answer) return;
    const { before, after, still } = answer, [same, sameAfter] = common(before.tokens, after.tokens);
    const [left, right] = outcome.children;
    left.querySelector(".whole").textContent = before.text;
    right.querySelector(".whole").textContent = after.text;
    left.querySelector("ol").replaceChildren(...before.tokens.map((token, number) => {
      const gone = !same.has(number), chance = before.probabilities[number], less = chance - still[number] >= LESS;
      return cell(token, `${gone ? "gone" : ""} ${less ? "less" : ""}`, front.text(gone ? "change.gone" : "change.cell", words(number)),
        front.percent(chance), `→ ${front.percent(still[number])}`);
    }));
    right.querySelector("ol").replaceChildren(...after.tokens.map((token, number) => {
      const chance = front.percent(after.probabilities[number]), label = front.label(token);
      return cell(token, sameAfter.has(number) ? "" : "new", sameAfter.has(number) ? `${label}: ${chance}` : front.text("change.new", { token: label, chance }), chance);
    }));
  }

  const words = (number) => ({ token: front.label(answer.before.tokens[number]), before: front.percent(answer.before.probabilities[number]),
    then: front.percent(answer.still[number]) });

  function sentence() {
    const { before, after, still } = answer;
    if (before.text !== after.text) return front.text("change.other", { before: front.quote(before.text), after: front.quote(after.text) });
    const losses = still.map((chance, number) => before.probabilities[number] - chance), most = losses.indexOf(Math.max(...losses));
    return losses[most] > 0 ? front.text("change.same", { ...words(most), token: front.quote(words(most).token) }) : front.text("change.surer");
  }

  function cell(token, kind, label, ...lines) {
    const node = document.createElement("li"), shown = document.createElement("bdi");
    node.className = `said ${kind}`;
    node.title = label;
    shown.textContent = front.label(token);
    node.append(shown, ...lines.map((line) => Object.assign(document.createElement("small"), { textContent: line })));
    return node;
  }

  // The places in both that are in a longest common subsequence.
  function common(one, other) {
    const found = [new Set(), new Set()];
    if (Math.max(one.length, other.length) > MOST_COMPARED) {
      one.forEach((token, number) => { if (token === other[number]) found.forEach((places) => places.add(number)); });
      return found;
    }
    const best = Array.from({ length: one.length + 1 }, () => new Uint16Array(other.length + 1));
    for (let i = one.length - 1; i >= 0; i -= 1) {
      for (let j = other.length - 1; j >= 0; j -= 1) best[i][j] = one[i] === other[j] ? 1 + best[i + 1][j + 1] : Math.max(best[i + 1][j], best[i][j + 1]);
    }
    for (let i = 0, j = 0; i < one.length && j < other.length;) {
      if (one[i] === other[j]) { found[0].add(i); found[1].add(j); i += 1; j += 1; }
      else if (best[i + 1][j] >= best[i][j + 1]) i += 1;
      else j += 1;
    }
    return found;
  }

  tokens.addEventListener("keydown", (event) => {
    const all = [...tokens.children], here = all.indexOf(document.activeElement);
    const next = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Escape") forget();
    if (next === undefined || !all[next]) return;
    event.preventDefault();
    for (const button of all) button.tabIndex = -1;
    all[next].tabIndex = 0;
    all[next].focus();
  });
  panel.addEventListener("change", (event) => {
    if (event.target.name !== "how") return;
    word.hidden = how() !== "replace";
    ask();
  });
  word.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, WAIT); });
  word.addEventListener("keydown", (event) => { if (event.key === "Enter") ask(); });
  front.on(show);
})();
