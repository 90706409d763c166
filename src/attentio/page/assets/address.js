/* What is shown, in the address: a link to a page leads to the same view, head and cell. Counted from 1. */
(() => {
  "use strict";

  const PLACES = ["group", "layer", "head", "item", "row", "column"];
  const WORDS = { scale: ["sqrt", "linear", "log", "even", "row"], without: ["", "sink", "special"], measure: ["weight", "value", "gradient", "erased", "rollout"], sort: ["layers", "telling", "kind", "evenness", "sink"] };

  function read({ groups }) {
    const given = new URLSearchParams(location.hash.slice(1));
    let found = {};
    if (given.has("view")) found.view = given.get("view");
    for (const name of PLACES) {
      const place = Number(/^\d{1,6}$/.test(given.get(name) ?? "") ? given.get(name) : NaN) - 1;
      if (place >= (name === "head" ? -1 : 0)) found[name] = place; // head 0 is the mean of all
    }
    if (found.group >= groups.length) delete found.group;
    // Of another head than the one that the page opens on, no cell but the one that is named.
    if (given.has("head")) found = { row: null, column: null, ...found };
    for (const [name, values] of Object.entries(WORDS)) if (values.includes(given.get(name))) found[name] = given.get(name);
    if (given.has("words")) found.words = given.get("words") === "yes";
    if (given.has("kind")) found.kind = given.get("kind");
    if (/^\d{1,6}\.\d{1,6}(-\d{1,6}\.\d{1,6}){1,5}$/.test(given.get("together") ?? "")) {
      found.together = given.get("together").split("-").map((one, slot) => [...one.split(".").map((number) => Number(number) - 1), slot]);
    }
    return found;
  }

  // Whether it is from the page of another text: a head of that, and no cell.
  const anew = () => new URLSearchParams(location.hash.slice(1)).has("anew");

  function written(app) {
    const { state } = app, now = new URLSearchParams({ view: state.view });
    for (const name of PLACES) if (state[name] != null) now.set(name, state[name] + 1);
    for (const [name, [usual]] of Object.entries(WORDS)) if (state[name] !== usual) now.set(name, state[name]);
    if (state.words) now.set("words", "yes");
    if (state.kind) now.set("kind", state.kind);
    if (state.together.length) now.set("together", state.together.map(([layer, head]) => `${layer + 1}.${head + 1}`).join("-"));
    return `#${now}`;
  }

  // A frame has no address of its own.
  function follow(app) {
    if (window !== window.top) return;
    app.on(() => { if (app.state.view) history.replaceState(null, "", written(app)); });
  }

  attentio.address = { read, anew, written, follow };
})();
