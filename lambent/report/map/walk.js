(() => {
  const SLIDERS = 16; // shown at first
  const LISTED = 200;
  const data = opened();
  const walker = data.walker && walking();
  const map = field(data, { taken: walker ? walker.taken : () => {}, made: walker && data.codes ? walker.made : null, chosen });
  themes(() => map.themed());
  rowsByNumber();
  if (walker) walker.begin();

  // the decoder: a code with its context, how it came about, and the picture of it
  function walking() {
    const { units, event, centre, spread } = data.walker;
    const weights = array(data.walker.weights, Float32Array);
    const picture = picturing(data.walker, weights);
    const canvas = one("picture");
    const code = new Float32Array(data.width);
    let ends = [];
    let sliders = [];
    canvas.classList.toggle("crisp", Math.max(event[1], event[2]) <= 64);

    // codes of a sphere are brought back onto it, as where lambent walks
    function held(z) {
      if (!data.walker.sphere) return z;
      const length = Math.hypot(...z.subarray(0, units)) || 1;
      return z.map((v, i) => (i < units ? v / length : v));
    }

    function painted(into, z) {
      const bytes = picture(held(z));
      const seen = into.getContext("2d").createImageData(event[2], event[1]);
      for (let p = 0; p < event[1] * event[2]; p++) {
        for (let c = 0; c < 3; c++) seen.data[4 * p + c] = bytes[p * event[0] + (event[0] === 3 ? c : 0)];
        seen.data[4 * p + 3] = 255;
      }
      into.getContext("2d").putImageData(seen, 0, 0);
    }
    const repaint = framed(() => painted(canvas, code));

    function set(z, words, spots) {
      code.set(z);
      for (const { unit, input, output } of sliders) {
        input.value = code[unit];
        output.textContent = show(Number(code[unit].toFixed(2)));
      }
      for (const select of one("given").querySelectorAll("select")) chosenOf(select);
      one("of").textContent = words;
      map.marked(spots);
      repaint();
    }

    function taken(row, place, shifted) {
      if (!data.codes) return;
      if (row < 0) return shifted ? undefined : between(place);
      if (shifted && ends.length) ends = [ends[0], row];
      else ends = [row];
      one("between").hidden = ends.length < 2;
      if (ends.length === 2) {
        one("ends").textContent = `From row ${data.numbers[ends[0]]} to row ${data.numbers[ends[1]]}`;
        one("way").value = 0.5;
        return walk();
      }
      set(data.code(row), `Row ${data.numbers[row]}, by the mean of its code`, [{ kind: "now", at: map.spot(row) }]);
    }

    function walk() {
      const t = Number(one("way").value);
      const [a, b] = ends.map(data.code);
      const [from, to] = ends.map(map.spot);
      const now = from.map((v, i) => v + t * (to[i] - v));
      const spots = [{ kind: "end", at: from }, { kind: "end", at: to }, { kind: "now", at: now }];
      set(a.map((v, i) => v + t * (b[i] - v)), `${Math.round(100 * t)} % of the way`, spots);
    }

    // a place between rows: the codes of the eight nearest, each by the inverse of its squared distance
    function between([x, y]) {
      const near = [];
      for (let i = 0; i < data.rows; i++) {
        const far = (data.points[2 * i] - x) ** 2 + (data.points[2 * i + 1] - y) ** 2;
        if (near.length === 8 && far >= near[7][0]) continue;
        near.push([far, i]);
        near.sort((a, b) => a[0] - b[0]);
        near.length = Math.min(near.length, 8);
      }
      const shares = near.map(([far]) => 1 / (far + 1e-12));
      const sum = shares.reduce((a, b) => a + b, 0);
      const mixed = new Float32Array(data.width);
      near.forEach(([, row], k) => data.code(row).forEach((v, i) => (mixed[i] += (shares[k] / sum) * v)));
      ends = [];
      one("between").hidden = true;
      set(mixed, `Between the ${near.length} nearest rows, the nearest of them row ${data.numbers[near[0][1]]}`, [{ kind: "now", at: [x, y] }]);
    }

    // units in the order of how much the codes of the rows spread along them, against the prior
    function ordered() {
      const order = Array.from({ length: units }, (_, i) => i);
      const reach = order.map((unit) => 3 * spread[unit]);
      if (!data.codes) return { order, reach };
      const square = new Float64Array(units);
      for (let row = 0; row < data.rows; row++)
        for (let unit = 0; unit < units; unit++) {
          const off = data.codes[row * data.width + unit] - centre[unit];
          square[unit] += off * off;
          reach[unit] = Math.max(reach[unit], Math.abs(off));
        }
      order.sort((a, b) => square[b] / spread[b] ** 2 - square[a] / spread[a] ** 2);
      return { order, reach };
    }

    function made() {
      const { order, reach } = ordered();
      sliders = order.map((unit, place) => {
        const input = element("input", { type: "range", step: "any", min: centre[unit] - reach[unit], max: centre[unit] + reach[unit] });
        const output = element("output");
        const label = element("label", { hidden: place >= SLIDERS }, `z${unit}`, input, output);
        input.dataset.unit = unit;
        input.addEventListener("input", () => {
          const z = code.slice();
          z[unit] = Number(input.value);
          set(z, "By the sliders", []);
        });
        one("sliders").append(label);
        return { unit, input, output, label };
      });
      one("more").hidden = units <= SLIDERS;
      one("more").textContent = `All ${units} units`;
      one("more").addEventListener("click", () => {
        for (const { label } of sliders) label.hidden = false;
        one("more").hidden = true;
      });
    }

    function chosenOf(select) {
      const { levels, place } = data.walker.given[select.name];
      select.selectedIndex = levels.findIndex((_, i) => code[units + place + i] === 1);
    }

    function conditioned() {
      for (const [name, { levels, place }] of Object.entries(data.walker.given)) {
        const select = element("select", { name }, ...levels.map((level) => element("option", {}, level)));
        select.addEventListener("change", () => {
          const z = code.slice();
          levels.forEach((_, i) => (z[units + place + i] = Number(i === select.selectedIndex)));
          set(z, `The same code, ${name} ${levels[select.selectedIndex]}`, []);
        });
        one("given").append(element("label", {}, name, select));
      }
    }

    function blank(draw) {
      const z = code.slice();
      for (let i = 0; i < units; i++) z[i] = centre[i] + (draw ? spread[i] * normal() : 0);
      return z;
    }
    const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

    // the page's own pictures beside those that Lambent made of the same codes
    function checked() {
      const checks = array(data.walker.checks, Float32Array);
      const theirs = array(data.walker.checked, Uint8Array);
      let worst = 0;
      for (let i = 0, n = 0; i < checks.length / data.width; i++)
        for (const byte of picture(checks.slice(i * data.width, (i + 1) * data.width))) worst = Math.max(worst, Math.abs(byte - theirs[n++]));
      const rows = checks.length / data.width;
      one("agreement").textContent = worst <= 1
        ? `The decoder runs in this page; of ${rows} rows its pictures are those that Lambent makes, ${worst ? "to one of 255 grey levels" : "to the last grey level"}.`
        : `Beware: this page's pictures of ${rows} rows differ from those that Lambent makes by up to ${worst} of 255 grey levels.`;
      one("agreement").dataset.worst = worst;
    }

    return {
      taken,
      made(row) {
        const into = element("canvas", { width: event[2], height: event[1] });
        painted(into, data.code(row));
        return into;
      },
      begin() {
        made();
        conditioned();
        one("way").addEventListener("input", walk);
        one("prior").addEventListener("click", () => set(blank(false), "The mean of the prior", []));
        one("draw").addEventListener("click", () => set(blank(true), "Each unit drawn by itself, by the prior's mean and deviation", []));
        if (data.codes) taken(0, null, false);
        else set(blank(false), "The mean of the prior", []);
        checked();
      },
    };
  }

  function rowsByNumber() {
    const place = new Map(Array.from(data.numbers, (number, i) => [number, i]));
    one("row").addEventListener("change", (event) => {
      const row = place.get(Number(one("row").value));
      one("row").setCustomValidity(row === undefined ? "There is no row of this number here." : "");
      if (row === undefined) one("row").reportValidity();
      else if (walker && data.codes) walker.taken(row, null, event.shiftKey);
      else map.marked([{ kind: "now", at: map.spot(row) }]);
    });
  }

  // the rows in the lasso, as a table and as a file
  function chosen(rows) {
    one("list").hidden = !rows.length;
    if (!rows.length) return;
    one("count").textContent = `${rows.length.toLocaleString("en")} of ${data.rows.toLocaleString("en")} rows`;
    const head = element("tr", {}, ...["row", ...data.columns.map(headed)].map((name) => element("th", {}, name)));
    one("list").querySelector("thead").replaceChildren(head);
    const body = rows.slice(0, LISTED).map((row) => {
      const line = element("tr", {}, element("td", {}, String(data.numbers[row])), ...data.columns.map((c) => element("td", {}, told(c, row))));
      line.addEventListener("click", () => walker && walker.taken(row, null, false));
      return line;
    });
    one("list").querySelector("tbody").replaceChildren(...body);
    one("rest").textContent = rows.length > LISTED ? `The first ${LISTED} are shown; the file has all.` : "";
    URL.revokeObjectURL(one("save").href);
    one("save").href = URL.createObjectURL(new Blob([written(rows)], { type: "text/csv" }));
  }

  function written(rows) {
    const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const cell = (column, row) => {
      if (column.levels) return quoted(column.levels[column.places[row]] ?? "");
      return Number.isNaN(column.values[row]) ? "" : String(column.values[row]);
    };
    const lines = rows.map((row) => [data.numbers[row], ...data.columns.map((c) => cell(c, row))].join(","));
    return `${[["row", ...data.columns.map((c) => quoted(c.name))].join(","), ...lines].join("\r\n")}\r\n`;
  }
  one("clear").addEventListener("click", () => map.cleared());
})();
