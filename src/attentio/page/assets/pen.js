/*
 * One way to draw on the screen, into a PNG and into an SVG: a pen with a few strokes.
 *
 * pen.rect(x, y, width, height, colour)                   pen.frame(x, y, width, height, colour)   outline
 * pen.veil(x, y, width, height, colour)                   what is below shows through; not in files
 * pen.line(x0, y0, x1, y1, colour, width)                 pen.curve(x0, y0, x1, y1, colour, width, opacity)
 * pen.text(x, y, text, {size, color, align, angle, bold}) align: "left" | "center" | "right"; angle in degrees
 * pen.pixels(imageData, x, y, width, height)              pen.clip(x, y, width, height, draw)
 * pen.width(text, size, bold)                             of a text in pixels
 */
(() => {
  "use strict";

  const FONT = 'system-ui, "Noto Sans", "Noto Sans CJK KR", "Apple SD Gothic Neo", "Malgun Gothic", sans-serif';
  const SVG = "http://www.w3.org/2000/svg";
  const ruler = document.createElement("canvas").getContext("2d");
  const widths = new Map();

  function width(text, size, bold = false) {
    const key = `${bold ? "b" : ""}${size} ${text}`;
    if (!widths.has(key)) {
      if (widths.size > 20000) widths.clear();
      ruler.font = `${bold ? 600 : 400} ${size}px ${FONT}`;
      widths.set(key, ruler.measureText(text).width);
    }
    return widths.get(key);
  }

  // A text cut to at most so many pixels; halves are tried, not each letter.
  function fitted(text, size, most, bold = false) {
    if (width(text, size, bold) <= most) return text;
    const letters = [...text];
    let low = 0, high = letters.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (width(`${letters.slice(0, middle).join("")}…`, size, bold) <= most) low = middle;
      else high = middle - 1;
    }
    return `${letters.slice(0, low).join("")}…`;
  }

  const bend = (x0, x1) => (x0 + x1) / 2;

  class CanvasPen {
    constructor(context) { this.context = context; }
    width(text, size, bold) { return width(text, size, bold); }
    rect(x, y, w, h, colour) {
      this.context.fillStyle = colour;
      this.context.fillRect(x, y, w, h);
    }
    veil(x, y, w, h, colour) {
      if (w <= 0 || h <= 0) return;
      this.context.globalAlpha = 0.72;
      this.rect(x, y, w, h, colour);
      this.context.globalAlpha = 1;
    }
    frame(x, y, w, h, colour, thick = 1) {
      this.context.strokeStyle = colour;
      this.context.lineWidth = thick;
      this.context.strokeRect(x, y, w, h);
    }
    line(x0, y0, x1, y1, colour, thick = 1) {
      const { context } = this;
      context.strokeStyle = colour;
      context.lineWidth = thick;
      context.beginPath();
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
      context.stroke();
    }
    curve(x0, y0, x1, y1, colour, thick, opacity) {
      const { context } = this;
      context.strokeStyle = colour;
      context.lineWidth = thick;
      context.globalAlpha = opacity;
      context.beginPath();
      context.moveTo(x0, y0);
      context.bezierCurveTo(bend(x0, x1), y0, bend(x0, x1), y1, x1, y1);
      context.stroke();
      context.globalAlpha = 1;
    }
    text(x, y, text, { size = 13, color = "black", align = "left", angle = 0, bold = false } = {}) {
      const { context } = this;
      context.font = `${bold ? 600 : 400} ${size}px ${FONT}`;
      context.fillStyle = color;
      context.textAlign = align;
      if (!angle) return context.fillText(text, x, y);
      context.save();
      context.translate(x, y);
      context.rotate((angle * Math.PI) / 180);
      context.fillText(text, 0, 0);
      return context.restore();
    }
    pixels(image, x, y, w, h) {
      const { a, d, e } = this.context.getTransform();
      // putImageData is the quickest, and knows nothing of the transformation.
      if (!e && image.width === Math.round(w * a) && image.height === Math.round(h * d)) {
        this.context.putImageData(image, Math.round(x * a), Math.round(y * d));
      } else {
        this.context.imageSmoothingEnabled = false;
        this.context.drawImage(sheet(image), x, y, w, h);
      }
    }
    clip(x, y, w, h, draw) {
      this.context.save();
      this.context.beginPath();
      this.context.rect(x, y, w, h);
      this.context.clip();
      draw();
      this.context.restore();
    }
  }

  function sheet(image) {
    const canvas = document.createElement("canvas");
    canvas.width = image.width;
    canvas.height = image.height;
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  class SvgPen {
    constructor(w, h) {
      this.root = this.into = document.createElementNS(SVG, "svg");
      this.clips = 0;
      for (const [name, value] of Object.entries({ width: w, height: h, viewBox: `0 0 ${w} ${h}`, "font-family": FONT })) {
        this.root.setAttribute(name, value);
      }
    }
    add(tag, attributes) {
      const node = this.into.appendChild(document.createElementNS(SVG, tag));
      for (const [name, value] of Object.entries(attributes)) {
        node.setAttribute(name, typeof value === "number" ? Math.round(value * 100) / 100 : value);
      }
      return node;
    }
    width(text, size, bold) { return width(text, size, bold); }
    rect(x, y, w, h, fill) { this.add("rect", { x, y, width: w, height: h, fill }); }
    frame(x, y, w, h, stroke, thick = 1) {
      this.add("rect", { x, y, width: w, height: h, fill: "none", stroke, "stroke-width": thick });
    }
    line(x1, y1, x2, y2, stroke, thick = 1) { this.add("line", { x1, y1, x2, y2, stroke, "stroke-width": thick }); }
    curve(x0, y0, x1, y1, stroke, thick, opacity) {
      const middle = bend(x0, x1);
      const d = `M${x0} ${y0.toFixed(2)}C${middle} ${y0.toFixed(2)} ${middle} ${y1.toFixed(2)} ${x1} ${y1.toFixed(2)}`;
      this.add("path", { d, fill: "none", stroke, "stroke-width": thick, opacity });
    }
    text(x, y, text, { size = 13, color = "black", align = "left", angle = 0, bold = false } = {}) {
      const anchor = { left: "start", center: "middle", right: "end" }[align];
      const node = this.add("text", { x, y, fill: color, "font-size": size, "text-anchor": anchor });
      if (bold) node.setAttribute("font-weight", 600);
      if (angle) node.setAttribute("transform", `rotate(${angle} ${x} ${y})`);
      node.textContent = text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "");  // XML has no place for these
    }
    pixels(image, x, y, w, h) {
      this.add("image", { x, y, width: w, height: h, preserveAspectRatio: "none", "image-rendering": "pixelated",
        href: sheet(image).toDataURL() });
    }
    clip(x, y, w, h, draw) {
      const id = `clip${(this.clips += 1)}`, outer = this.into;
      this.into = this.add("clipPath", { id });
      this.rect(x, y, w, h, "black");
      this.into = outer;
      this.into = this.add("g", { "clip-path": `url(#${id})` });
      draw();
      this.into = outer;
    }
    shifted(x, y, draw) {
      const outer = this.into;
      this.into = this.add("g", { transform: `translate(${x} ${y})` });
      draw();
      this.into = outer;
    }
    toString() { return new XMLSerializer().serializeToString(this.root); }
  }

  attentio.pen = { CanvasPen, SvgPen, width, fitted };
})();
