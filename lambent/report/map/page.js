// what the parts of the page share: the data as arrays, what is known of a row, the theme
const one = (id) => document.getElementById(id);
const array = (text, kind) => new kind(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);

const opened = () => {
  const data = JSON.parse(one("data").textContent);
  const columns = data.columns.map((column) =>
    column.levels ? { ...column, places: array(column.places, Int32Array) } : { ...column, values: array(column.values, Float64Array) },
  );
  const codes = data.codes ? array(data.codes, Float32Array) : null;
  const owner = new Map();
  const pictured = data.sprites ? array(data.sprites.rows, Int32Array) : [];
  pictured.forEach((row, place) => owner.set(row, place));
  return {
    ...data,
    points: array(data.points, Float32Array),
    numbers: array(data.numbers, Int32Array),
    columns,
    codes,
    sprite: (row) => owner.get(row),
    code: (row) => codes.slice(row * data.width, (row + 1) * data.width),
  };
};

const show = (value) => {
  if (Number.isNaN(value)) return "–";
  const far = Math.abs(value) >= 1e9 || (value !== 0 && Math.abs(value) < 1e-4);
  return (far ? value.toExponential(3) : value.toLocaleString("en", { maximumSignificantDigits: 6, useGrouping: false })).replaceAll("-", "−");
};
const headed = (column) => (column.unit ? `${column.name}, ${column.unit}` : column.name);
const told = (column, row) => (column.levels ? (column.levels[column.places[row]] ?? "–") : show(column.values[row]));

const element = (name, attributes = {}, ...children) => {
  const node = Object.assign(document.createElement(name), attributes);
  node.append(...children);
  return node;
};
const marked = (name, attributes, parent) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.append(node);
  return node;
};

// f at most once a frame, however often it is asked for
const framed = (f) => {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      f();
    });
  };
};

function themes(changed) {
  const root = document.documentElement;
  const wish = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme || (wish.matches ? "dark" : "light")) === "dark";
  const button = document.querySelector(".theme");
  const label = () => {
    button.textContent = dark() ? "Light" : "Dark";
    changed();
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    label();
  });
  wish.addEventListener("change", label);
  label();
  return dark;
}
