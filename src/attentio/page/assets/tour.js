/*
 * A tour of the page: a card for each part that there is, which it points at. It opens where the reader asks for it,
 * changes only which view is shown, and is remembered nowhere.
 */
(() => {
  "use strict";

  const PARTS = [["answer", "tour.answer"], ["panels", "tour.panel"], ["overview", "tour.overview"], ["choices", "tour.choices"], ["tabs", "tour.tabs"],
    ["settings", "tour.settings"]];

  attentio.tour = (app) => {
    const make = app.element;
    const text = make("p", {}), place = make("p", { class: "hint" });
    const back = make("button", { type: "button", class: "icon", key: "tour.back", on: { click: () => show(at - 1) } });
    const next = make("button", { type: "button", class: "icon", on: { click: () => show(at + 1) } });
    const card = make("dialog", { class: "tour", labelKey: "tour.title" }, place, text, make("div", { class: "buttons" }, back, next,
      make("button", { type: "button", class: "icon", key: "keys.close", on: { click: () => close() } })));
    document.body.append(card);
    let parts = [], at = 0;

    const part = () => document.getElementById(parts[at]?.[0] ?? "");
    const visible = ([id]) => document.getElementById(id).checkVisibility() && document.getElementById(id).children.length > 0;

    function open() {
      const first = attentioViews.find((view) => !view.wide && view.available(app.payload));
      if (app.shownView().wide) app.set({ view: first.id });
      parts = PARTS.filter(visible);
      card.show();
      show(0);
    }

    function show(number) {
      if (number === parts.length) return close();
      part()?.classList.remove("toured");
      at = number;
      part().classList.add("toured");
      write();
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      part().scrollIntoView({ behavior: still ? "instant" : "smooth", block: "nearest" });
      stand();
      next.focus({ preventScroll: true });
      app.say(`${place.textContent} ${text.textContent}`);
    }

    function write() {
      if (!card.open) return;
      place.textContent = app.text("tour.place", { at: at + 1, all: parts.length });
      text.textContent = app.text(parts[at][1]);
      next.textContent = app.text(at === parts.length - 1 ? "tour.end" : "tour.next");
      back.hidden = at === 0;
    }

    function close() {
      part().classList.remove("toured");
      card.close();
      button.focus();
    }

    // Below the part, or where that is outside of the window, within it.
    function stand() {
      if (!card.open) return;
      const { top, bottom, left } = part().getBoundingClientRect(), { offsetWidth: wide, offsetHeight: tall } = card;
      const below = bottom + 10 + tall <= innerHeight ? bottom + 10 : top - tall - 10 >= 0 ? top - tall - 10 : innerHeight - tall - 16;
      card.style.top = `${below}px`;
      card.style.left = `${Math.max(8, Math.min(left + 12, innerWidth - wide - 16))}px`;
    }

    const button = make("button", { type: "button", class: "icon tour-button", key: "tour.button", on: { click: open } });
    card.addEventListener("keydown", (event) => {
      const act = { Escape: close, ArrowRight: () => show(at + 1), ArrowLeft: () => show(Math.max(0, at - 1)) }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
    app.on((changed) => { if (changed.has("language")) write(); });
    addEventListener("scroll", stand, { passive: true });
    addEventListener("resize", stand);
    return button;
  };
})();
