/*
 * A text is typed; after a moment the model is asked, and what was asked before is let go. Each answer is a page, shown in
 * a frame that takes the place of the last one when it is ready, at the view that was chosen there.
 */
(() => {
  "use strict";

  const WAIT = 350, TALLEST = 20000; // milliseconds after the last key; pixels
  const at = (id) => document.getElementById(id);
  const field = at("text"), features = at("features"), result = at("result"), status = at("status"), failed = at("failed"), examples = at("examples");
  let asking = null, timer = null, shown = null, view = ""; // view: as the address of a page has it
  let saying = null; // a key of the strings

  function say(key) {
    saying = key;
    status.textContent = key ? front.text(key) : "";
  }

  // A source with features is its text, a tab, and these.
  const typed = () => front.featured ? `${field.value}\t${features.value}` : field.value;
  function fill(text) { [field.value, features.value = ""] = front.featured ? text.split("\t") : [text]; }

  function busy(now) { result.setAttribute("aria-busy", String(now)); }

  async function ask() {
    clearTimeout(timer);
    asking?.abort();
    const text = typed(), mine = asking = new AbortController();
    if (!field.value.trim()) { say(null); busy(false); return; }
    say("waiting");
    failed.textContent = "";
    busy(true);
    try {
      const { page, tokens } = await front.post("/look", { text }, mine.signal);
      const frame = await framed(page, mine.signal);
      if (mine.signal.aborted) return;
      shown?.remove();
      frame.classList.remove("coming");
      shown = frame;
      front.changeable(text, tokens);
      say("done");
    } catch (error) {
      if (mine.signal.aborted) return;
      say(null);
      failed.textContent = error.message;
    }
    busy(false);
  }

  // A frame with the page, out of sight until it has taken on how the others look.
  function framed(page, signal) {
    const frame = document.createElement("iframe"), url = URL.createObjectURL(new Blob([page], { type: "text/html" }));
    Object.assign(frame, { className: "coming", title: front.text("result"), allow: "fullscreen", src: `${url}#${view}` });
    signal.addEventListener("abort", () => { if (frame !== shown) frame.remove(); });
    return new Promise((resolve) => {
      frame.addEventListener("load", () => { URL.revokeObjectURL(url); tell(frame); });
      frame.ready = () => resolve(frame);
      result.append(frame);
    });
  }

  const tell = (frame) => frame.contentWindow.postMessage({ attentio: front.look() }, location.origin);

  // What pages in frames tell: how tall they are, that they look as they were told to, and the view that is chosen.
  addEventListener("message", ({ source, data }) => {
    const frame = [...result.children].find((each) => each.contentWindow === source), told = data?.attentio;
    if (!frame || !told) return;
    if (told.height > 0) frame.style.height = `${Math.min(TALLEST, Math.ceil(told.height))}px`;
    if (told.heard) frame.ready();
    if (frame !== shown || typeof told.address !== "string") return;
    const chosen = new URLSearchParams(told.address.slice(1));
    for (const name of ["item", "row", "column"]) chosen.delete(name); // of that text
    chosen.set("anew", "yes");
    view = String(chosen);
  });

  for (const each of [field, features]) each.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, WAIT); });
  at("ask").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  for (const text of front.examples) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: text.replace("\t", " · ") });
    button.addEventListener("click", () => { fill(text); ask(); });
    examples.append(button);
  }
  features.parentElement.hidden = !front.featured;
  features.placeholder = "V;PST";
  examples.hidden = !front.examples.length;
  front.on(() => {
    say(saying);
    for (const frame of result.children) { frame.title = front.text("result"); tell(frame); }
  });
  field.focus();
  if (front.examples.length) {
    fill(front.examples[0]);
    field.select();
    ask();
  }
})();
