/*
 * Words in two languages, light and dark, and how this server is asked. The scripts of the front page are joined, this
 * one first, and share what others need through `front`:
 *
 *   front.text(key, {name: value})   a string in the chosen language
 *   front.on(listener)               called when language or theme have changed, and once at the beginning
 *   front.look()                     {language, theme}
 *   front.post(path, fields, signal) Promise of the answer's JSON; rejected with the server's own words
 *   front.label(token)               a token as it is shown, without the marks of a tokenizer
 *   front.percent(share), front.quote(text)
 */
const front = {};

(() => {
  "use strict";

  const given = JSON.parse(document.getElementById("front").textContent), listeners = [];
  const dark = matchMedia("(prefers-color-scheme: dark)"), language = document.getElementById("language");
  const state = { language: given.language, theme: dark.matches ? "dark" : "light" };
  const FINALS = "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ";
  const letters = new Map(Array.from({ length: 51 }, (_, at) => String.fromCharCode(0x3131 + at)).map((letter) => [letter.normalize("NFKD"), letter]));
  [...FINALS].forEach((letter, at) => letters.set(String.fromCharCode(0x11a8 + at), letter));

  front.examples = given.examples;
  front.featured = given.featured;
  front.look = () => ({ ...state });
  front.on = (listener) => { listeners.push(listener); listener(); };

  front.text = (key, values = {}) => {
    const strings = given.strings[state.language], text = strings[given.kind][key] ?? strings[key];
    return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  };

  front.post = async (path, fields, signal) => {
    let reply, answer;
    try {
      reply = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(fields), signal });
      answer = await reply.json(); // a proxy may say something else
    } catch (error) {
      throw signal.aborted ? error : new Error(front.text("unreachable"));
    }
    if (!reply.ok) throw new Error(answer.error);
    return answer;
  };

  const VISIBLE = { "": "∅", " ": "␣", "▁": "␣", "Ġ": "␣", "\n": "↵", "\t": "→" };
  front.label = (token) => VISIBLE[token] ?? token.replace(/^[▁Ġ]/, "").replace(/^##(?=.)/, "·").replace(/(.)@@$/, "$1")
    .replace(/[\u1100-\u11ff]/g, (letter) => letters.get(letter) ?? letter);
  front.quote = (text) => `“\u2068${text}\u2069”`;
  front.percent = (share) => (share > 0 && share < 0.0005 ? "< 0.1 %" : `${share >= 0.0995 || share === 0 ? Math.round(100 * share) : (100 * share).toPrecision(2)} %`);

  function show() {
    document.documentElement.lang = state.language;
    document.documentElement.dataset.theme = state.theme;
    for (const node of document.querySelectorAll("[data-string]")) node.textContent = front.text(node.dataset.string);
    for (const node of document.querySelectorAll("[data-string-label]")) node.setAttribute("aria-label", node.title = front.text(node.dataset.stringLabel));
    language.value = state.language;
    for (const listener of listeners) listener();
  }

  const change = (changes) => { Object.assign(state, changes); show(); };
  language.addEventListener("change", () => change({ language: language.value }));
  document.getElementById("theme").addEventListener("click", () => change({ theme: state.theme === "dark" ? "light" : "dark" }));
  dark.addEventListener("change", () => change({ theme: dark.matches ? "dark" : "light" }));
  // On paper everything is light.
  let shown = null;
  addEventListener("beforeprint", () => { shown = state.theme; change({ theme: "light" }); });
  addEventListener("afterprint", () => change({ theme: shown ?? state.theme }));
  show();
})();
