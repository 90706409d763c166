// The form works without this: it only says, to screen readers too, that an answer is on its way and that it came.
(() => {
  "use strict";
  const form = document.querySelector("form");
  const button = form.querySelector("button");
  const status = document.querySelector("[role=status]");
  const frame = document.querySelector("iframe");
  let asked = false;
  form.addEventListener("submit", () => {
    asked = true;
    status.textContent = form.dataset.waiting;
    button.disabled = true;
  });
  frame.addEventListener("load", () => {
    button.disabled = false;
    status.textContent = asked ? form.dataset.done : "";
  });
})();
