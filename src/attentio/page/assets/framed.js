/*
 * Within a frame: of a notebook, which is told how tall the page is and has a theme; or of the front page of a server,
 * which has a language as well, and is told what is chosen, so that the page of the next text begins with the same.
 */
(() => {
  "use strict";

  // Pixels that a view may take as the height of the screen: a frame is as tall as what is in it, and so no measure.
  attentio.screen = () => (window === window.top ? innerHeight : 700);

  attentio.framed = (app) => {
    if (window === window.top) return;
    const root = document.documentElement, tell = (told) => parent.postMessage({ attentio: told }, "*");
    root.style.setProperty("--screen", `${attentio.screen()}px`);
    new ResizeObserver(() => tell({ height: document.body.offsetHeight })).observe(document.body);
    addEventListener("message", ({ source, data }) => {
      const { theme, language } = (source === parent && data?.attentio) || {};
      if (["light", "dark"].includes(theme)) app.set({ theme });
      if (!["en", "ko"].includes(language)) return;
      if (!root.hasAttribute("data-front")) app.on(() => tell({ address: attentio.address.written(app) }));
      root.toggleAttribute("data-front", true);
      app.set({ language });
      tell({ heard: true });
    });
  };
})();
