// Plots that answer a pointer: the figure's values, drawn again, with runs switched by the levels of an axis.
const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C00", "#7F7F7F"];
const WIDTH = 480, HEIGHT = 300, LEFT = 46, RIGHT = 8, TOP = 26, BOTTOM = 36;
const svg = (name, attributes, text) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
};
// Round values between two ends, a handful of them.
const ticks = (low, high) => {
  const rough = (high - low) / 5 || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) found.push(Number((k * step).toPrecision(6)));
  return found;
};
const ends = (values, log) => {
  const known = values.flat().filter((v) => Number.isFinite(v) && (!log || v > 0));
  const low = Math.min(...known), high = Math.max(...known), margin = (high - low) * 0.04 || 1;
  return log ? [low / 1.1, high * 1.1] : [low - margin, high + margin];
};
const drawPanel = (panel, say) => {
  const [left, right] = ends(panel.x, panel.log), [low, high] = ends(panel.y, false);
  const scale = panel.log ? Math.log : (v) => v;
  const across = (v) => LEFT + (WIDTH - LEFT - RIGHT) * (scale(v) - scale(left)) / (scale(right) - scale(left));
  const up = (v) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (v - low) / (high - low);
  const root = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "presentation" });
  root.append(svg("text", { x: LEFT, y: 14 }, panel.title), svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 4, "text-anchor": "end" }, panel.across));
  for (const v of ticks(low, high)) {
    root.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: up(v), y2: up(v) }), svg("text", { x: LEFT - 6, y: up(v) + 4, "text-anchor": "end" }, v));
  }
  for (const v of ticks(left, right)) {
    if (panel.across !== "epoch" || Number.isInteger(v)) root.append(svg("text", { x: across(v), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, v));
  }
  const single = panel.x.every((values) => values.length < 2);
  const marks = panel.x.map((values, i) => {
    const points = values.map((v, k) => [across(v), up(panel.y[i][k])]).filter(([, y]) => Number.isFinite(y));
    const mark = single
      ? svg("circle", { cx: points[0]?.[0] ?? -9, cy: points[0]?.[1] ?? -9, r: 5 })
      : svg("polyline", { points: points.map((p) => p.join()).join(" ") });
    root.append(mark);
    return { mark, points, values };
  });
  // The nearest point of any mark that is shown, by the pointer or a finger.
  const nearest = (event) => {
    const box = root.getBoundingClientRect();
    const x = (event.clientX - box.left) * WIDTH / box.width, y = (event.clientY - box.top) * HEIGHT / box.height;
    let best = null;
    marks.forEach(({ mark, points, values }, i) => {
      if (mark.style.display === "none") return;
      points.forEach((p, k) => {
        const distance = Math.hypot(p[0] - x, p[1] - y);
        if (!best || distance < best.distance) best = { distance, i, x: values[k], y: panel.y[i][k] };
      });
    });
    if (best) say(best.i, `${panel.title} ${best.y} at ${panel.across} ${best.x}`);
  };
  root.addEventListener("pointermove", nearest);
  root.addEventListener("pointerdown", nearest);
  return { root, marks: marks.map(({ mark }) => mark) };
};
for (const source of document.querySelectorAll("script.plot")) {
  const plot = JSON.parse(source.textContent);
  const frame = document.createElement("div"), controls = document.createElement("div"), grid = document.createElement("div"), said = document.createElement("p");
  frame.className = "plot";
  controls.className = "controls";
  grid.className = "panels";
  said.className = "said";
  said.textContent = "Point at a line or a dot, or tap it, to see which run it is.";
  let panels = [];
  const say = (i, values) => {
    const { label, href } = plot.dots[i];
    const name = document.createElement(href ? "a" : "strong");
    if (href) name.href = href;
    name.textContent = label;
    said.replaceChildren(name, `: ${values}`);
    for (const { marks } of panels) marks.forEach((mark, k) => mark.classList.toggle("over", k === i));
  };
  panels = plot.panels.map((panel) => drawPanel(panel, say));
  grid.append(...panels.map(({ root }) => root));
  // Colours and switches are those of one axis.
  const colour = (axis) => {
    const levels = [...new Set(plot.dots.map((dot) => dot.levels[axis]))], off = new Set();
    const paint = () => plot.dots.forEach((dot, i) => {
      const place = Math.max(0, levels.indexOf(dot.levels[axis]));
      for (const { marks } of panels) {
        marks[i].style.display = off.has(dot.levels[axis]) ? "none" : "";
        marks[i].style[marks[i].tagName === "circle" ? "fill" : "stroke"] = PALETTE[place % PALETTE.length];
      }
    });
    const buttons = plot.axes.length ? levels.map((level, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = level;
      button.style.setProperty("--series", PALETTE[place % PALETTE.length]);
      button.setAttribute("aria-pressed", "true");
      button.addEventListener("click", () => {
        if (!off.delete(level)) off.add(level);
        button.setAttribute("aria-pressed", String(!off.has(level)));
        paint();
      });
      return button;
    }) : [];
    controls.replaceChildren(...(plot.axes.length ? [choice] : []), ...buttons);
    paint();
  };
  const choice = document.createElement("select");
  choice.setAttribute("aria-label", "Colour and switch by");
  plot.axes.forEach((axis, i) => choice.add(new Option(axis, i)));
  choice.addEventListener("change", () => colour(Number(choice.value)));
  colour(0);
  frame.append(controls, grid, said);
  const figure = source.closest("figure");
  figure.querySelector("picture").hidden = true;
  figure.prepend(frame);
}
