/* Within the frame of a notebook: tell the notebook how tall the page is, and take its theme. */
(() => {
  "use strict";

  // Pixels that a view may take as the height of the screen: a frame is as tall as what is in it, and so no measure.
  attentio.screen = () => (window === window.top ? innerHeight : 700);

  attentio.framed = (app) => {
    if (window === window.top) return;
    document.documentElement.style.setProperty("--screen", `${attentio.screen()}px`);
    const tell = () => parent.postMessage({ attentio: { height: document.body.offsetHeight } }, "*");
    new ResizeObserver(tell).observe(document.body);
    addEventListener("message", ({ source, data }) => {
      const theme = source === parent && data?.attentio?.theme;
      if (["light", "dark"].includes(theme)) app.set({ theme });
    });
  };
})();
