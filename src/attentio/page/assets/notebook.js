/* Runs in the notebook, beside the frame of a page: the frame gets the height that its page tells, and the notebook's theme. */
(() => {
  "use strict";

  const LARGEST = 4000;
  const frame = document.currentScript?.previousElementSibling;
  if (frame?.tagName !== "IFRAME") return;

  // Jupyter's pages say which theme they have; elsewhere the page follows the reader's system.
  function tell() {
    const light = document.body.dataset.jpThemeLight;
    if (light) frame.contentWindow?.postMessage({ attentio: { theme: light === "false" ? "dark" : "light" } }, "*");
  }

  addEventListener("message", ({ source, data }) => {
    const height = source === frame.contentWindow && data?.attentio?.height;
    if (height > 0) frame.height = Math.min(LARGEST, Math.ceil(height));
    if (height) tell();
  });
  new MutationObserver(tell).observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
})();
