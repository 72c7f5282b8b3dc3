// colouring(data, changed): bytes [rows, 4] by the chosen column, and the legend of it
const colouring = (data, changed) => {
  const RAMP = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];
  const COLOURS = 10;
  const ABSENT = 0.12; // of the opacity, where others are singled out
  const legend = one("legend");
  const style = () => getComputedStyle(document.documentElement);
  const hex = (text) => [1, 3, 5].map((at) => parseInt(text.trim().slice(at, at + 2), 16));
  let single = -1;
  let lassoed = null;
  let bytes = new Uint8Array(data.rows * 4);

  function ramp(share) {
    const dark = style().colorScheme.includes("dark");
    const at = (dark ? 0.15 + 0.85 * share : 0.9 * share) * (RAMP.length - 1);
    const low = Math.min(RAMP.length - 2, Math.floor(at));
    return RAMP[low].map((v, i) => v + (at - low) * (RAMP[low + 1][i] - v));
  }

  const column = () => data.columns[one("colour").value];

  // the ten most frequent levels have a colour each, in their own order; all others share a grey
  function ranked(names) {
    const counts = new Array(names.levels.length).fill(0);
    for (const place of names.places) if (place >= 0) counts[place]++;
    const order = counts.map((_, i) => i).filter((i) => counts[i]).sort((a, b) => counts[b] - counts[a]);
    const shown = order.slice(0, COLOURS).sort((a, b) => a - b);
    return { shown, counts, slot: counts.map((_, i) => (shown.includes(i) ? shown.indexOf(i) : COLOURS)) };
  }

  function range(numbers) {
    const sorted = numbers.values.filter((v) => !Number.isNaN(v)).sort();
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.round(share * (sorted.length - 1)))] ?? 0;
    return [at(0.01), at(0.99)];
  }

  function painted() {
    const chosen = column();
    const css = style();
    const palette = Array.from({ length: COLOURS + 1 }, (_, i) => hex(css.getPropertyValue(`--k${i}`)));
    const plain = hex(css.getPropertyValue("--accent"));
    const opacity = Number(css.getPropertyValue("--dots")) * 255;
    bytes = new Uint8Array(data.rows * 4); // anew, so that the plane sees the change
    let shade = () => plain;
    let there = () => true;
    if (chosen?.levels) {
      const { slot } = ranked(chosen);
      shade = (i) => palette[chosen.places[i] < 0 ? COLOURS : slot[chosen.places[i]]];
      there = (i) => single < 0 || (chosen.places[i] < 0 ? COLOURS : slot[chosen.places[i]]) === single;
    } else if (chosen) {
      const [low, high] = range(chosen);
      const steps = Array.from({ length: 256 }, (_, i) => ramp(i / 255));
      shade = (i) => {
        const v = chosen.values[i];
        return Number.isNaN(v) ? palette[COLOURS] : steps[Math.round(255 * Math.min(1, Math.max(0, (v - low) / (high - low || 1))))];
      };
    }
    for (let i = 0; i < data.rows; i++) {
      bytes.set(shade(i), 4 * i);
      bytes[4 * i + 3] = there(i) && (!lassoed || lassoed.has(i)) ? opacity : opacity * ABSENT;
    }
    allowed = there;
    changed();
  }
  let allowed = () => true;

  function entry(colour, text, slot) {
    const dot = element("i");
    dot.style.background = colour;
    const button = element("button", { type: "button" }, dot, text);
    button.setAttribute("aria-pressed", String(single === slot));
    button.addEventListener("click", () => {
      single = single === slot ? -1 : slot;
      explained();
      painted();
    });
    return button;
  }

  function explained() {
    const chosen = column();
    legend.replaceChildren();
    if (chosen?.levels) {
      const { shown, counts } = ranked(chosen);
      shown.forEach((level, slot) => legend.append(entry(`var(--k${slot})`, chosen.levels[level], slot)));
      const others = counts.filter((n) => n).length - shown.length;
      if (others || chosen.places.includes(-1)) legend.append(entry(`var(--k${COLOURS})`, others ? `${others} others` : "none", COLOURS));
    } else if (chosen) {
      const [low, high] = range(chosen);
      const bar = element("span", { className: "ramp" });
      bar.style.background = `linear-gradient(90deg, ${[0, 0.25, 0.5, 0.75, 1].map((s) => `rgb(${ramp(s).map(Math.round)})`)})`;
      legend.append(show(low), bar, `${show(high)} ${chosen.unit} (from 1 % to 99 % of the rows)`);
    }
  }

  one("colour").addEventListener("change", () => {
    single = -1;
    explained();
    painted();
  });
  return {
    bytes: () => bytes,
    allowed: (i) => allowed(i),
    lassoed(rows) {
      lassoed = rows && new Set(rows);
      painted();
    },
    themed() {
      explained();
      painted();
    },
  };
};
