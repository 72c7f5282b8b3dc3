// plane(canvas, points, how): all points drawn at once, by WebGL where there is a fast one, else by a 2-D canvas.
// how: "#webgl" takes a slow one too, which a processor computes; "#2d" takes none.
// draw(view, colours, size): view { x, y, scale } takes a point to (x + scale · px, y − scale · py) in pixels of the canvas.
const plane = (canvas, points, how) => {
  const VERTEX = `#version 300 es
    in vec2 place; in vec4 colour; uniform vec4 view; uniform float size; uniform vec2 frame; out vec4 shade;
    void main() {
      vec2 at = vec2(view.x + view.z * place.x, view.y - view.z * place.y);
      gl_Position = vec4(2.0 * at.x / frame.x - 1.0, 1.0 - 2.0 * at.y / frame.y, 0.0, 1.0);
      gl_PointSize = size; shade = colour;
    }`;
  const FRAGMENT = `#version 300 es
    precision mediump float; in vec4 shade; out vec4 seen;
    void main() {
      float far = length(gl_PointCoord - 0.5) * 2.0;
      float cover = shade.a * (1.0 - smoothstep(0.75, 1.0, far));
      if (cover <= 0.0) discard;
      seen = vec4(shade.rgb * cover, cover);
    }`;
  const gl = how === "#2d" ? null : canvas.getContext("webgl2", {
    alpha: true, antialias: false, preserveDrawingBuffer: true, failIfMajorPerformanceCaveat: how !== "#webgl",
  });
  return gl ? shaded() : plain();

  function shaded() {
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    const held = (name, data, count, type, normalized) => {
      const buffer = gl.createBuffer();
      const place = gl.getAttribLocation(program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, count, type, normalized, 0, 0);
      return buffer;
    };
    held("place", points, 2, gl.FLOAT, false);
    const colouring = held("colour", new Uint8Array(points.length * 2), 4, gl.UNSIGNED_BYTE, true);
    const [view, size, frame] = ["view", "size", "frame"].map((name) => gl.getUniformLocation(program, name));
    let last = null;
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    return {
      by: "WebGL",
      draw(at, colours, wide) {
        if (colours !== last) {
          gl.bindBuffer(gl.ARRAY_BUFFER, colouring);
          gl.bufferSubData(gl.ARRAY_BUFFER, 0, colours);
          last = colours;
        }
        gl.viewport(0, 0, canvas.width, canvas.height);
        gl.clearColor(0, 0, 0, 0);
        gl.clear(gl.COLOR_BUFFER_BIT);
        gl.uniform4f(view, at.x, at.y, at.scale, 0);
        gl.uniform1f(size, wide);
        gl.uniform2f(frame, canvas.width, canvas.height);
        gl.drawArrays(gl.POINTS, 0, points.length / 2);
      },
    };
  }

  // pixels written one by one: shapes of a canvas take a hundred times as long, where their colours alternate
  function plain() {
    const context = canvas.getContext("2d");
    return {
      by: "a 2-D canvas, as this browser has no WebGL that is fast",
      draw(at, colours, wide) {
        const [w, h, side] = [canvas.width, canvas.height, Math.max(1, Math.round(wide))];
        const seen = context.createImageData(w, h);
        const bytes = seen.data;
        for (let i = 0; i < colours.length; i += 4) {
          const left = Math.round(at.x + at.scale * points[i / 2] - side / 2);
          const top = Math.round(at.y - at.scale * points[i / 2 + 1] - side / 2);
          if (left < 0 || top < 0 || left + side > w || top + side > h) continue;
          const cover = colours[i + 3] / 255;
          for (let r = top; r < top + side; r++)
            for (let n = 4 * (r * w + left), end = n + 4 * side; n < end; n += 4) {
              const under = (bytes[n + 3] / 255) * (1 - cover);
              const whole = cover + under;
              for (let c = 0; c < 3; c++) bytes[n + c] = (colours[i + c] * cover + bytes[n + c] * under) / whole;
              bytes[n + 3] = 255 * whole;
            }
        }
        context.putImageData(seen, 0, 0);
      },
    };
  }
};

// places(points): the nearest point, and those inside a polygon, by a grid of about four points a cell
const places = (points) => {
  const count = points.length / 2;
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < count; i++) {
    left = Math.min(left, points[2 * i]);
    right = Math.max(right, points[2 * i]);
    low = Math.min(low, points[2 * i + 1]);
    high = Math.max(high, points[2 * i + 1]);
  }
  const sides = Math.max(1, Math.ceil(Math.sqrt(count / 4)));
  const wide = (right - left) / sides || 1;
  const tall = (high - low) / sides || 1;
  const held = (value) => Math.min(sides - 1, Math.max(0, value));
  const column = (x) => held(Math.floor((x - left) / wide));
  const line = (y) => held(Math.floor((y - low) / tall));
  const cells = Array.from({ length: sides * sides }, () => []);
  for (let i = 0; i < count; i++) cells[line(points[2 * i + 1]) * sides + column(points[2 * i])].push(i);
  return {
    frame: [left, right, low, high],
    nearest(x, y, within, allowed) {
      let [best, least] = [-1, within * within];
      for (let r = line(y - within); r <= line(y + within); r++)
        for (let c = column(x - within); c <= column(x + within); c++)
          for (const i of cells[r * sides + c]) {
            const far = (points[2 * i] - x) ** 2 + (points[2 * i + 1] - y) ** 2;
            if (far <= least && allowed(i)) [best, least] = [i, far];
          }
      return best;
    },
    inside(polygon) {
      const found = [];
      for (let i = 0; i < count; i++) {
        const [x, y] = [points[2 * i], points[2 * i + 1]];
        let within = false;
        for (let a = 0, b = polygon.length - 1; a < polygon.length; b = a++) {
          const [ax, ay] = polygon[a];
          const [bx, by] = polygon[b];
          if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) within = !within;
        }
        if (within) found.push(i);
      }
      return found;
    },
  };
};
