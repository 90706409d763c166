/* One head large. */
(() => {
  "use strict";

  attentioViews.push({
    id: "heat",
    titleKey: "heat.title",
    wide: false,
    available: (payload) => payload.groups.length > 0,
    mount(element, app) {
      const canvas = element.appendChild(document.createElement("canvas"));
      return {
        async update() {
          const matrix = await app.matrix();
          canvas.width = matrix.columns * 20;
          canvas.height = matrix.rows * 20;
          const context = canvas.getContext("2d");
          for (let row = 0; row < matrix.rows; row += 1) {
            for (let column = 0; column < matrix.columns; column += 1) {
              context.globalAlpha = matrix.at(row, column).value || 0;
              context.fillRect(column * 20, row * 20, 20, 20);
            }
          }
        },
      };
    },
  });
})();
