"use strict";
// decoder(program, weights): code → raw output, by the list of operations that lambent.tasks.map.program writes.
// A value is { data, shape }; sums are kept in 64 bits, what lies between layers in 32, as the model has it.
const decoder = (() => {
  const size = (shape) => shape.reduce((product, side) => product * side, 1);
  const value = (shape) => ({ shape, data: new Float32Array(size(shape)) });
  const each = (f) => (op, x) => ({ shape: x.shape, data: x.data.map((v) => f(v, op)) });

  // erf by Abramowitz and Stegun 7.1.26, to 1.5e-7
  function erf(x) {
    const t = 1 / (1 + 0.3275911 * Math.abs(x));
    const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return Math.sign(x) * (1 - series * Math.exp(-x * x));
  }

  function linear(op, x, weights) {
    const y = value([op.outputs]);
    for (let o = 0, w = op.weight; o < op.outputs; o++) {
      let sum = op.bias < 0 ? 0 : weights[op.bias + o];
      for (let i = 0; i < op.inputs; i++) sum += weights[w++] * x.data[i];
      y.data[o] = sum;
    }
    return y;
  }

  // the places along one axis that a tap reaches: `first` to `last` of those that are many, where `of` gives the others
  const reached = (many, others, stride, shift) => [
    Math.max(0, Math.ceil(-shift / stride)),
    Math.min(many - 1, Math.floor((others - 1 - shift) / stride)),
  ];

  function convolved(op, x, weights, transposed) {
    const [inputs, outputs] = op.channels;
    const [kh, kw] = op.kernel;
    const [high, wide] = op.size;
    const [, h, w] = x.shape;
    const sums = new Float64Array(high * wide);
    const y = value([outputs, high, wide]);
    // of the two maps one is walked by single places, the other by strides
    const [mh, mw, oh, ow] = transposed ? [h, w, high, wide] : [high, wide, h, w];
    for (let o = 0; o < outputs; o++) {
      sums.fill(op.bias < 0 ? 0 : weights[op.bias + o]);
      for (let i = 0; i < inputs; i++) {
        const kernel = op.weight + (transposed ? i * outputs + o : o * inputs + i) * kh * kw;
        const map = i * h * w;
        for (let a = 0; a < kh; a++) {
          const [top, bottom] = reached(mh, oh, op.stride[0], a - op.padding[0]);
          for (let b = 0; b < kw; b++) {
            const [left, right] = reached(mw, ow, op.stride[1], b - op.padding[1]);
            const weight = weights[kernel + a * kw + b];
            for (let r = top; r <= bottom; r++) {
              const far = (r * op.stride[0] + a - op.padding[0]) * ow + b - op.padding[1];
              const near = r * mw;
              if (transposed) for (let c = left; c <= right; c++) sums[far + c * op.stride[1]] += weight * x.data[map + near + c];
              else for (let c = left; c <= right; c++) sums[near + c] += weight * x.data[map + far + c * op.stride[1]];
            }
          }
        }
      }
      y.data.set(sums, o * high * wide);
    }
    return y;
  }

  // y of another size, each number taken from the place in x that `from` names
  function taken(x, shape, from) {
    const y = value(shape);
    const [channels, high, wide] = shape;
    for (let c = 0, n = 0; c < channels; c++)
      for (let r = 0; r < high; r++) for (let k = 0; k < wide; k++) y.data[n++] = x.data[from(c, r, k)];
    return y;
  }

  function cropped(op, x) {
    const [channels, h, w] = x.shape;
    return taken(x, [channels, ...op.size], (c, r, k) => (c * h + r) * w + k);
  }

  function enlarged(op, x) {
    const [channels, h, w] = x.shape;
    const f = op.factor;
    return taken(x, [channels, h * f, w * f], (c, r, k) => (c * h + Math.floor(r / f)) * w + Math.floor(k / f));
  }

  function shuffled(op, x) {
    const [channels, h, w] = x.shape;
    const f = op.factor;
    const from = (c, r, k) => ((c * f * f + (r % f) * f + (k % f)) * h + Math.floor(r / f)) * w + Math.floor(k / f);
    return taken(x, [channels / (f * f), h * f, w * f], from);
  }

  function normalized(op, x, weights) {
    const y = value(x.shape);
    const part = x.data.length / op.groups;
    for (let g = 0; g < op.groups; g++) {
      let mean = 0;
      let square = 0;
      for (let n = g * part; n < (g + 1) * part; n++) mean += x.data[n] / part;
      for (let n = g * part; n < (g + 1) * part; n++) square += (x.data[n] - mean) ** 2 / part;
      for (let n = g * part; n < (g + 1) * part; n++) {
        const scale = op.weight < 0 ? 1 : weights[op.weight + n];
        y.data[n] = (scale * (x.data[n] - mean)) / Math.sqrt(square + op.epsilon) + (op.bias < 0 ? 0 : weights[op.bias + n]);
      }
    }
    return y;
  }

  function scaled(op, x, weights) {
    const part = x.data.length / op.channels;
    const at = (n) => Math.floor(n / part);
    return { shape: x.shape, data: x.data.map((v, n) => v * weights[op.weight + at(n)] + weights[op.bias + at(n)]) };
  }

  const added = (x, y, gain) => ({ shape: x.shape, data: x.data.map((v, n) => v + gain * y.data[n]) });

  const OPERATIONS = {
    linear,
    convolution: (op, x, weights) => convolved(op, x, weights, false),
    transposed: (op, x, weights) => convolved(op, x, weights, true),
    shape: (op, x) => ({ shape: op.shape, data: x.data }),
    crop: cropped,
    enlarged,
    shuffled,
    normalized,
    scaled,
    residual: (op, x, weights) => added(x, through(op.branch, x, weights), op.gain),
    beside: (op, x, weights) => added(through(op.linear, x, weights), through(op.branch, x, weights), 1),
    relu: each((v) => Math.max(0, v)),
    leaky: each((v, op) => (v < 0 ? op.slope * v : v)),
    silu: each((v) => v / (1 + Math.exp(-v))),
    gelu: each((v) => 0.5 * v * (1 + erf(v / Math.SQRT2))),
    tanh: each(Math.tanh),
    sigmoid: each((v) => 1 / (1 + Math.exp(-v))),
  };

  const through = (operations, x, weights) => operations.reduce((y, op) => OPERATIONS[op.op](op, y, weights), x);

  return (operations, weights) => (code) => through(operations, { shape: [code.length], data: Float32Array.from(code) }, weights).data;
})();

// heads: raw output → the values that the likelihood is looked at by, [channels, height, width]
const heads = (() => {
  const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const logistic = (x) => 1 / (1 + Math.exp(-x));
  const slope = (x) => logistic(x) * logistic(-x);
  const mapped = (f) => (head, raw, event) => raw.slice(0, event[0] * event[1] * event[2]).map(f);

  // the mean of the continuous Bernoulli of logit l: 1 / (1 − e⁻ˡ) − 1 / l
  const interval = (l) =>
    Math.abs(l) < 0.5 ? 0.5 + l / 12 - l ** 3 / 720 + l ** 5 / 30240 : -1 / Math.expm1(-l) - 1 / l;

  // E[x] of a logistic cut into levels 0 … top: a sum where its scale is less than a level, else by Euler and Maclaurin
  function expected(centre, inverse, top) {
    if (inverse > 1) {
      const near = Math.min(top, Math.max(0, Math.floor(centre)));
      let total = Math.max(0, near - 20);
      for (let v = Math.max(0, near - 20); v < Math.min(top, near + 20); v++) total += logistic((centre - v - 0.5) * inverse);
      return total;
    }
    const below = centre * inverse;
    const above = (centre - top) * inverse;
    return (softplus(below) - softplus(above)) / inverse + ((slope(above) - slope(below)) * inverse) / 24;
  }

  function logistics(head, raw, event) {
    const [channels, high, wide] = event;
    const places = high * wide;
    const half = (head.levels - 1) / 2;
    const floor = -7 - Math.log((head.levels - 1) / 255);
    const each = (head.components > 1 ? 1 : 0) + 2 * channels + head.couplings;
    const out = new Float32Array(channels * places);
    const grey = new Float64Array(channels);
    for (let p = 0; p < places; p++) {
      const at = (component, number) => raw[(component * each + number) * places + p];
      const first = head.components > 1 ? 1 : 0;
      let most = -Infinity;
      for (let m = 0; first && m < head.components; m++) most = Math.max(most, at(m, 0));
      let sum = 0;
      for (let m = 0; m < head.components; m++) sum += first ? Math.exp(at(m, 0) - most) : 1;
      for (let m = 0; m < head.components; m++) {
        const share = (first ? Math.exp(at(m, 0) - most) : 1) / sum;
        for (let c = 0, coupling = 0; c < channels; c++) {
          let location = at(m, first + c);
          for (let before = 0; head.couplings && before < c; before++)
            location += Math.tanh(at(m, first + 2 * channels + coupling++)) * grey[before];
          const logScale = Math.min(3, Math.max(floor, at(m, first + channels + c) - 2));
          const level = expected((location + 1) * half, Math.exp(-logScale) / half, head.levels - 1);
          grey[c] = level / half - 1;
          out[c * places + p] += share * level;
        }
      }
    }
    return out;
  }

  return { location: mapped((v) => v), chance: mapped(logistic), interval: mapped(interval), logistics };
})();

// bytes of a picture, [height, width, channels], of a code with its context
const picturing = (walker, weights) => {
  const decode = decoder(walker.operations, weights);
  const [channels, high, wide] = walker.event;
  return (code) => {
    const raw = decode(code);
    const values = heads[walker.head.head](walker.head, raw, walker.event);
    const bytes = new Uint8ClampedArray(values.length);
    for (let c = 0; c < channels; c++)
      for (let p = 0; p < high * wide; p++) bytes[p * channels + c] = (values[c * high * wide + p] * 255) / walker.whitest;
    return bytes;
  };
};
