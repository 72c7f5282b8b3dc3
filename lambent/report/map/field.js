// field(data, actions): the map itself. Moved, zoomed, hovered over, clicked (actions.taken), lassoed (actions.chosen)
const field = (data, actions) => {
  const REACH = 12; // pixels from which a point is met
  const LINES = 14; // of a row, told beside the pointer
  const chart = one("chart");
  const marks = one("marks");
  const tip = one("tip");
  const canvas = one("points");
  const drawing = plane(canvas, data.points, location.hash);
  const found = places(data.points);
  const [left, right, low, high] = found.frame;
  const view = { x: 0, y: 0, scale: 1 };
  const sheet = new Image();
  if (data.sprites) sheet.src = data.sprites.uri;
  const wide = data.rows > 50000 ? 2.5 : data.rows > 10000 ? 3.5 : data.rows > 2000 ? 5 : 7;
  let lasso = null;
  let held = null;
  let near = -1;
  let spots = [];

  const colours = colouring(data, () => redraw());
  const redraw = framed(() => {
    const ratio = devicePixelRatio || 1;
    const box = chart.getBoundingClientRect();
    const [w, h] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    drawing.draw({ x: view.x * ratio, y: view.y * ratio, scale: view.scale * ratio }, colours.bytes(), wide * ratio);
    overlaid();
  });

  const at = (x, y) => [view.x + view.scale * x, view.y - view.scale * y];
  const spot = (row) => [data.points[2 * row], data.points[2 * row + 1]];
  const back = (x, y) => [(x - view.x) / view.scale, (view.y - y) / view.scale];

  function whole() {
    const box = chart.getBoundingClientRect();
    view.scale = 0.92 * Math.min(box.width / (right - left || 1), box.height / (high - low || 1));
    view.x = box.width / 2 - (view.scale * (left + right)) / 2;
    view.y = box.height / 2 + (view.scale * (low + high)) / 2;
    redraw();
  }

  function zoomed(x, y, factor) {
    view.x = x - factor * (x - view.x);
    view.y = y - factor * (y - view.y);
    view.scale *= factor;
    redraw();
  }

  function overlaid() {
    marks.replaceChildren();
    if (lasso) marked("polygon", { class: "drawn", points: lasso.map(([x, y]) => at(x, y)).join(" ") }, marks);
    const ends = spots.filter((s) => s.kind === "end").map((s) => at(...s.at));
    if (ends.length === 2) marked("line", { class: "way", x1: ends[0][0], y1: ends[0][1], x2: ends[1][0], y2: ends[1][1] }, marks);
    for (const { kind, at: place } of spots) {
      const [cx, cy] = at(...place);
      marked("circle", { class: kind, cx, cy, r: kind === "now" ? 6 : 8 }, marks);
    }
    if (near >= 0) {
      const [cx, cy] = at(...spot(near));
      marked("circle", { class: "near", cx, cy, r: 7 }, marks);
    }
  }

  const placed = (event) => {
    const box = chart.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  function hovered(x, y) {
    const row = found.nearest(...back(x, y), REACH / view.scale, colours.allowed);
    chart.classList.toggle("over", row >= 0 && !lassoing());
    if (row !== near) {
      near = row;
      overlaid();
      if (row >= 0) tell(row);
    }
    tip.hidden = row < 0;
    if (row < 0) return;
    const box = chart.getBoundingClientRect();
    const [px, py] = at(...spot(row));
    tip.style.left = `${Math.max(4, px + 14 + tip.offsetWidth > box.width ? px - tip.offsetWidth - 14 : px + 14)}px`;
    tip.style.top = `${Math.min(Math.max(4, py - tip.offsetHeight / 2), Math.max(4, box.height - tip.offsetHeight - 4))}px`;
  }

  function tell(row) {
    tip.replaceChildren();
    const place = data.sprite(row);
    if (place !== undefined) tip.append(small(place));
    else if (actions.made) tip.append(actions.made(row), element("small", {}, "as the decoder makes it"));
    const list = element("dl", {}, element("dt", {}, "row"), element("dd", {}, String(data.numbers[row])));
    for (const column of data.columns.slice(0, LINES)) list.append(element("dt", {}, headed(column)), element("dd", {}, told(column, row)));
    tip.append(list);
  }

  function small(place) {
    const { width, height, columns } = data.sprites;
    const picture = element("canvas", { width, height });
    picture.dataset.place = place;
    const paint = () => picture.getContext("2d").drawImage(sheet, (place % columns) * width, Math.floor(place / columns) * height, width, height, 0, 0, width, height);
    if (sheet.complete) paint();
    else sheet.addEventListener("load", paint, { once: true });
    return picture;
  }

  const lassoing = () => one("lasso").getAttribute("aria-pressed") === "true";
  one("lasso").addEventListener("click", () => {
    one("lasso").setAttribute("aria-pressed", String(!lassoing()));
    chart.classList.toggle("lassoing", lassoing());
  });
  one("whole").addEventListener("click", whole);

  chart.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const [x, y] = placed(event);
    held = { x, y, moved: false, draws: lassoing() || event.altKey, from: { ...view } };
    chart.setPointerCapture(event.pointerId);
  });
  chart.addEventListener("pointermove", (event) => {
    const [x, y] = placed(event);
    if (!held) return hovered(x, y);
    if (!held.moved && Math.hypot(x - held.x, y - held.y) < 4) return;
    if (!held.moved && held.draws) lasso = [back(held.x, held.y)];
    held.moved = true;
    tip.hidden = true;
    if (held.draws) lasso.push(back(x, y));
    else [view.x, view.y] = [held.from.x + x - held.x, held.from.y + y - held.y];
    if (held.draws) overlaid();
    else redraw();
  });
  chart.addEventListener("pointerup", (event) => {
    if (!held) return;
    const { moved, draws } = held;
    held = null;
    const [x, y] = placed(event);
    if (!moved) actions.taken(found.nearest(...back(x, y), REACH / view.scale, colours.allowed), back(x, y), event.shiftKey);
    else if (draws) choose(found.inside(lasso).filter(colours.allowed));
  });
  chart.addEventListener("pointerleave", () => {
    if (held) return;
    near = -1;
    tip.hidden = true;
    overlaid();
  });
  chart.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomed(...placed(event), Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)));
  }, { passive: false });
  chart.tabIndex = 0;
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
    const box = chart.getBoundingClientRect();
    if (step) [view.x, view.y] = [view.x + step[0], view.y + step[1]];
    else if (event.key === "+" || event.key === "-") zoomed(box.width / 2, box.height / 2, event.key === "+" ? 1.25 : 0.8);
    else if (event.key === "Escape") choose([]);
    else return;
    event.preventDefault();
    redraw();
  });

  function choose(rows) {
    if (!rows.length) lasso = null;
    colours.lassoed(rows.length ? rows : null);
    actions.chosen(rows);
    overlaid();
  }

  new ResizeObserver(redraw).observe(chart);
  whole();
  one("drawn").textContent = `${data.rows.toLocaleString("en")} points drawn by ${drawing.by}.`;
  return {
    themed: colours.themed,
    spot,
    cleared: () => choose([]),
    marked(now) {
      spots = now;
      overlaid();
    },
  };
};
