"use strict";
(() => {
  const root = document.documentElement;
  const drawn = (name, attributes, parent) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    parent.append(node);
    return node;
  };
  const show = (value) => {
    if (value === null) return "–";
    const text = Math.abs(value) >= 1e9 || (value !== 0 && Math.abs(value) < 1e-4)
      ? value.toExponential(3)
      : value.toLocaleString("en", { maximumSignificantDigits: 5 });
    return text.replaceAll("-", "−");
  };
  const share = (fraction) => `${100 * fraction}%`;
  const kept = (key, value) => {
    // a page opened from a disk may have no storage
    try {
      if (value === undefined) return localStorage.getItem(key);
      localStorage.setItem(key, value);
    } catch { /* the choice then lasts as long as the page */ }
    return null;
  };

  function themes() {
    const button = document.querySelector(".theme");
    const wished = () => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    const dark = () => (root.dataset.theme || wished()) === "dark";
    const label = () => { button.textContent = dark() ? "Light" : "Dark"; };
    const before = kept("lambent-theme");
    if (before && !root.dataset.theme) root.dataset.theme = before;
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      kept("lambent-theme", root.dataset.theme);
      label();
    });
    label();
  }

  // a plot that a pointer or the arrow keys read out: `read(index)` shows one place, `rest()` none
  function readable(plot, size, nearest, read, rest) {
    let at = size - 1;
    plot.tabIndex = 0;
    plot.setAttribute("role", "group");
    plot.setAttribute("aria-label", plot.dataset.label);
    plot.addEventListener("pointermove", (event) => {
      const box = plot.querySelector(".axes").getBoundingClientRect();
      at = nearest((event.clientX - box.left) / box.width);
      read(at);
    });
    plot.addEventListener("pointerleave", rest);
    plot.addEventListener("blur", rest);
    plot.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: size - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      at = Math.min(size - 1, Math.max(0, to));
      read(at);
    });
  }

  function curve(plot) {
    const data = JSON.parse(plot.dataset.curve);
    const [left, right, low, high] = data.frame;
    const axes = plot.querySelector(".axes");
    const reading = plot.parentElement.querySelector(".reading");
    const when = reading.querySelector(".when");
    const values = [...reading.querySelectorAll("b")];
    const before = values.map((node) => node.textContent);
    const place = data.x.map((x) => (x - left) / (right - left));
    const line = drawn("line", { class: "cursor", y1: 0, y2: "100%", visibility: "hidden" }, axes);
    const spots = data.series.map(() => drawn("circle", { class: "spot", r: 3.5, visibility: "hidden" }, axes));
    const nearest = (x) => place.reduce((best, p, i) => (Math.abs(p - x) < Math.abs(place[best] - x) ? i : best), 0);
    const read = (i) => {
      reading.setAttribute("aria-live", "polite");
      when.textContent = `epoch ${show(data.x[i])}`;
      line.setAttribute("x1", share(place[i]));
      line.setAttribute("x2", share(place[i]));
      line.setAttribute("visibility", "visible");
      data.series.forEach((series, k) => {
        const y = series.y[i];
        values[k].textContent = show(y);
        spots[k].setAttribute("cx", share(place[i]));
        spots[k].setAttribute("cy", share(1 - ((y ?? low) - low) / (high - low)));
        spots[k].setAttribute("visibility", y === null || y < low || y > high ? "hidden" : "visible");
      });
    };
    const rest = () => {
      when.textContent = reading.dataset.last;
      values.forEach((node, k) => { node.textContent = before[k]; });
      for (const node of [line, ...spots]) node.setAttribute("visibility", "hidden");
    };
    readable(plot, data.x.length, nearest, read, rest);
  }

  function bars(plot) {
    const data = JSON.parse(plot.dataset.bars);
    const reading = plot.parentElement.querySelector(".reading");
    const before = reading.textContent;
    const nearest = (x) => Math.min(data.units.length - 1, Math.max(0, Math.floor(x * data.units.length)));
    const read = (i) => {
      const [unit, share, active] = data.units[i];
      reading.setAttribute("aria-live", "polite");
      reading.textContent = `${data.of === "direction" ? "direction " : "unit z"}${unit} · ${show(share)} ${data.word} · ${active ? "active" : "unused"}`;
    };
    readable(plot, data.units.length, nearest, read, () => { reading.textContent = before; });
  }

  function map(plot) {
    const axes = plot.querySelector(".axes");
    const dots = [...plot.querySelectorAll(".dots")];
    const places = (path) => [...path.getAttribute("d").matchAll(/M(-?\d+) (-?\d+)/g)];
    const points = dots.flatMap((path) => places(path).map((m) => [m[1] / 1000, m[2] / 1000, path]));
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    plot.append(tip);
    plot.addEventListener("pointermove", (event) => {
      const box = axes.getBoundingClientRect();
      let best = null;
      let least = 144;
      for (const point of points) {
        if (point[2].classList.contains("faded")) continue;
        const x = point[0] * box.width - (event.clientX - box.left);
        const y = point[1] * box.height - (event.clientY - box.top);
        if (x * x + y * y < least) [best, least] = [point, x * x + y * y];
      }
      tip.hidden = !best || !best[2].dataset.name;
      if (tip.hidden) return;
      const outer = plot.getBoundingClientRect();
      tip.textContent = best[2].dataset.name;
      tip.style.left = `${box.left - outer.left + best[0] * box.width}px`;
      tip.style.top = `${box.top - outer.top + best[1] * box.height}px`;
    });
    plot.addEventListener("pointerleave", () => { tip.hidden = true; });
    legend(plot.parentElement.querySelector(".legend"), dots, plot);
  }

  // each entry singles out its own dots; a second press brings the others back
  function legend(list, dots, plot) {
    if (!list) return;
    const entries = [...list.children];
    list.setAttribute("role", "group");
    list.setAttribute("aria-label", "Single out a label");
    const single = (chosen) => {
      const other = (path) => chosen !== null && !path.classList.contains(`k${chosen}`);
      for (const path of dots) path.classList.toggle("faded", other(path));
      for (const text of plot.querySelectorAll(".caption")) text.style.opacity = chosen === null ? "" : ".25";
      for (const entry of entries) entry.setAttribute("aria-pressed", String(entry.dataset.colour === chosen));
    };
    for (const entry of entries) {
      entry.tabIndex = 0;
      entry.setAttribute("role", "button");
      const press = () => single(entry.getAttribute("aria-pressed") === "true" ? null : entry.dataset.colour);
      entry.addEventListener("click", press);
      entry.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        press();
      });
    }
    single(null);
  }

  themes();
  document.querySelectorAll("[data-curve]").forEach(curve);
  document.querySelectorAll("[data-bars]").forEach(bars);
  document.querySelectorAll("[data-map]").forEach(map);
})();
