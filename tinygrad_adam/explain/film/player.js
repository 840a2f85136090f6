// Frames are rows of one matrix: see camera.py for what its columns are.
const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
const data = new Float32Array(bytes.buffer);
const frames = film.steps.length;
const events = film.stages.length + film.edges.length + film.params.length;
const at = (frame, column) => data[frame * film.width + column];
const described = (thing) => `${shape(thing.shape)}${thing.about === "all" ? "" : "; shown: " + thing.about}`;
const $ = (id) => document.getElementById(id);
const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);  // larger on a wide screen

// --- Words -----------------------------------------------------------------------------------

function number(x) {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  const text = size >= 1e5 || size < 1e-3 ? x.toExponential(3) : x.toPrecision(4);
  return text.replaceAll("-", "−").replace("e+", "e");
}
const short = (x) => number(x !== 0 && Number.isFinite(x) ? Number(x.toPrecision(3)) : x).replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, "");
const shape = (sizes) => (sizes.length > 1 ? sizes.join(" × ") : sizes.length ? `${sizes[0]} numbers` : "one number");
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// --- Pictures of numbers: Hinton diagrams ----------------------------------------------------

const PLUS = "#ffe0a8", MINUS = "#08264f";
class Picture {
  constructor(label, rows, columns, start, sized) {
    this.rows = rows; this.columns = columns; this.start = start; this.label = label;
    this.cell = Math.max(7, Math.min(18, Math.floor(sized * rem / 16 / columns)));
    this.tall = Math.max(this.cell, Math.ceil(26 / rows));  // a bias is one row: high enough to be seen from afar
    this.canvas = element("canvas", {
      width: columns * this.cell, height: rows * this.tall, role: "img", "aria-label": label });
    this.note = element("figcaption");
    this.figure = element("figure", {}, this.canvas, this.note);
    let most = 0;
    for (let f = 0; f < frames; f++)
      for (let i = 0; i < rows * columns; i++) {
        const size = Math.abs(at(f, start + i));
        if (size > most && Number.isFinite(size)) most = size;
      }
    this.most = most;
    this.note.append(label, element("br"), `largest ${short(most)}`);
  }
  draw(frame, old, chosen) {
    this.figure.classList.toggle("old", old);
    const pen = this.canvas.getContext("2d"), { cell, tall } = this;
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    for (let i = 0; i < this.rows * this.columns; i++) {
      const x = (i % this.columns) * cell, y = Math.floor(i / this.columns) * tall;
      const value = at(frame, this.start + i);
      if (!Number.isFinite(value)) {  // a cross: NaN or infinity
        pen.strokeStyle = "#000000"; pen.beginPath();
        pen.moveTo(x + 1, y + 1); pen.lineTo(x + cell - 1, y + tall - 1);
        pen.moveTo(x + cell - 1, y + 1); pen.lineTo(x + 1, y + tall - 1); pen.stroke();
        continue;
      }
      if (!value || !this.most) continue;
      const share = Math.sqrt(Math.abs(value) / this.most);
      const wide = Math.max(1, (cell - 1) * share), high = Math.max(1, (tall - 1) * share);
      pen.fillStyle = value > 0 ? PLUS : MINUS;
      pen.fillRect(x + (cell - wide) / 2, y + (tall - high) / 2, wide, high);
    }
    if (chosen !== undefined) {
      pen.strokeStyle = "#d55e00"; pen.lineWidth = 2;
      pen.strokeRect((chosen % this.columns) * cell + 1, Math.floor(chosen / this.columns) * tall + 1, cell - 2, tall - 2);
    }
  }
}

// --- The network -----------------------------------------------------------------------------

const NAMES = { value: "value", gradient: "gradient g", update: "step taken" };
const chosen = { param: 0, entry: 0 };
const stages = film.stages.map((stage) => {
  const words = element("div", { class: "words" }, element("h3", {}, stage.name), element("p", { class: "shape" }, described(stage)));
  const sized = stage.shape.length > 2 ? 340 : 150;  // maps of images lie side by side
  const output = new Picture("output", stage.rows, stage.columns, stage.output, sized);
  const gradient = new Picture("its gradient", stage.rows, stage.columns, stage.gradient, sized);
  words.append(element("div", { class: "row" }, output.figure, gradient.figure));
  const owned = element("div", { class: "parameters" });
  const card = element("article", { class: "stage" }, words, owned);
  $("flow").append(card);
  return { card, owned, output, gradient };
});
const params = film.params.map((param, p) => {
  const edge = film.edges.find((e) => e.to === "parameter" && e.target === p);
  const owner = edge ? stages[edge.from].owned : $("flow");
  const card = element("div", { class: "parameter" }, element("h4", {}, param.name),
    element("p", { class: "shape" }, described(param)));
  const size = param.rows * param.columns;
  const pictures = param.kinds.map((kind, k) =>
    new Picture(NAMES[kind] || kind, param.rows, param.columns, param.start + k * size, 86));
  card.append(element("div", { class: "row" }, ...pictures.map((picture) => picture.figure)));
  for (const picture of pictures)
    picture.canvas.addEventListener("click", (event) => {
      const box = picture.canvas.getBoundingClientRect();
      const column = Math.floor((event.clientX - box.left) / box.width * param.columns);
      const row = Math.floor((event.clientY - box.top) / box.height * param.rows);
      chosen.param = p; chosen.entry = row * param.columns + column;
      show(position);
    });
  owner.append(card);
  return { card, pictures };
});

// A strip above the network, always in sight: each stage, followed by the parameters that it owns.
const map = { stages: [], params: [], arrows: [] };
film.stages.forEach((stage, s) => {
  if (s) { map.arrows.push(element("span", { class: "arrow" }, "→")); $("map").append(map.arrows[s - 1]); }
  map.stages.push(element("span", { class: "box" }, stage.name));
  $("map").append(map.stages[s]);
  film.params.forEach((param, p) => {
    const edge = film.edges.find((e) => e.to === "parameter" && e.target === p);
    if (!edge || edge.from !== s) return;
    map.params[p] = element("span", { class: "box small" }, param.name.split(".").pop());
    $("map").append(map.params[p]);
  });
});

// --- What happens at a position --------------------------------------------------------------

function what(k) {
  if (k < film.stages.length) return { phase: "forward", stage: k };
  k -= film.stages.length;
  if (k < film.edges.length) return { phase: "backward", edge: k };
  return { phase: "update", param: k - film.edges.length };
}
function caption(frame, now) {
  const bold = (x) => element("b", {}, number(x));
  if (now.phase === "forward") {
    const stage = film.stages[now.stage];
    const last = now.stage === film.stages.length - 1;
    const text = [`${stage.name} computes its output, ${shape(stage.shape)}.`];
    if (last && stage.rows * stage.columns === 1) text.push(" The loss is ", bold(at(frame, stage.output)), ".");
    return text;
  }
  if (now.phase === "backward") {
    const edge = film.edges[now.edge];
    const to = edge.to === "stage" ? `the output of ${film.stages[edge.target].name}` : film.params[edge.target].name;
    return [`${film.stages[edge.from].name} passes a gradient to ${to}, by the rule of “${edge.operation}”. Its norm is `,
      bold(at(frame, edge.norm)), "."];
  }
  const param = film.params[now.param];
  const size = param.rows * param.columns, last = param.start + (param.kinds.length - 1) * size;
  let most = 0;
  for (let i = 0; i < size; i++) most = Math.max(most, Math.abs(at(frame, last + i)));
  return [`${film.optimizer} changes ${param.name}, ${shape(param.shape)}, with learning rate `, bold(film.rates[frame]),
    ". The largest change shown is ", bold(most), "."];
}

// --- One entry -------------------------------------------------------------------------------

function index(param, place) {
  const found = [];
  for (const size of [...param.shape].reverse()) { found.unshift(place % size); place = Math.floor(place / size); }
  return `[${found.join(", ")}]`;
}
function entry(frame, param, i) {
  const size = param.rows * param.columns, numbers = {};
  param.kinds.forEach((kind, k) => { numbers[kind] = at(frame, param.start + k * size + i); });
  numbers.t = at(frame, param.start + param.kinds.length * size);
  return numbers;
}
function ledger(frame) {
  const param = film.params[chosen.param], n = entry(frame, param, chosen.entry);
  $("entry-name").textContent = `${param.name}${index(param, param.places[chosen.entry])}`;
  const rows = [["g", "gradient", n.gradient]];
  const { betas, eps } = film.settings;
  const adam = ["Adam", "AdamW"].includes(film.optimizer) && betas;
  for (const kind of param.kinds.slice(2, -1)) {
    const beta = kind === "m" ? "β₁" : "β₂";
    rows.push([kind, adam && kind !== "v_max" ? `${beta} ${kind} + (1 − ${beta}) g${kind === "v" ? "²" : ""}` : "kept by the optimizer",
      n[kind]]);
  }
  if (adam && !film.settings.amsgrad && film.settings.bias_correction !== false) {
    const m = n.m / (1 - betas[0] ** n.t), v = n.v / (1 - betas[1] ** n.t);
    rows.push(["m̂", `m / (1 − β₁ᵗ), t = ${n.t}`, m], ["v̂", "v / (1 − β₂ᵗ)", v], ["√v̂", "", Math.sqrt(v)]);
    rows.push(["α / (√v̂ + ε)", "effective learning rate", film.rates[frame] / (Math.sqrt(v) + eps)]);
  }
  rows.push(["θ", "before", n.value - n.update], ["Δθ", "the step taken", n.update], ["θ", "after", n.value]);
  $("ledger").replaceChildren(...rows.map(([name, formula, value]) =>
    element("tr", {}, element("td", {}, name), element("td", {}, formula), element("td", {}, number(value)))));
  const values = film.steps.map((step, f) => [step, entry(f, param, chosen.entry).value]);
  curve($("history"), values, film.steps[frame]);
}

// --- Curves ----------------------------------------------------------------------------------

function curve(svg, points, now) {
  const width = svg.clientWidth, height = svg.clientHeight;
  if (!width) return;  // a narrow screen has no room for it
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const letter = 0.87 * rem, narrow = width < 18 * letter;
  const shown = points.filter(([, y]) => y !== null && Number.isFinite(y));
  const xs = shown.map(([x]) => x), ys = shown.map(([, y]) => y);
  const left = 4.4 * letter, right = width - 6, top = 6, bottom = height - 1.5 * letter;
  const x0 = Math.min(...xs), x1 = Math.max(...xs, x0 + 1), y0 = Math.min(...ys);
  const y1 = Math.max(...ys) > y0 ? Math.max(...ys) : y0 + 1;
  const X = (x) => left + (right - left) * (x - x0) / (x1 - x0), Y = (y) => bottom - (bottom - top) * (y - y0) / (y1 - y0);
  const line = shown.map(([x, y]) => `${X(x).toFixed(1)},${Y(y).toFixed(1)}`).join(" ");
  const nearest = shown.reduce((a, b) => (Math.abs(b[0] - now) < Math.abs(a[0] - now) ? b : a), shown[0] || [now, 0]);
  svg.innerHTML = `<line x1="${left}" y1="${bottom}" x2="${right}" y2="${bottom}" stroke="var(--line)"/>
    <line x1="${left}" y1="${top}" x2="${left}" y2="${bottom}" stroke="var(--line)"/>
    <text x="${left - 4}" y="${top + 0.7 * letter}" text-anchor="end">${short(y1)}</text>
    <text x="${left - 4}" y="${bottom}" text-anchor="end">${short(y0)}</text>
    ${narrow ? "" : `<text x="${left}" y="${height - 4}">${x0}</text>
    <text x="${right}" y="${height - 4}" text-anchor="end">${x1}</text>`}
    <polyline points="${line}" fill="none" stroke="var(--accent)" stroke-width="2.2"/>
    <line x1="${X(now)}" y1="${top}" x2="${X(now)}" y2="${bottom}" stroke="var(--ink)" stroke-dasharray="3 3"/>
    <circle cx="${X(nearest[0])}" cy="${Y(nearest[1])}" r="5.5" fill="var(--ink)"/>
    <text x="${narrow ? right : (left + right) / 2}" y="${height - 4}" text-anchor="${narrow ? "end" : "middle"}">step ${now}: ${number(nearest[1])}</text>`;
}

// --- Showing a position ----------------------------------------------------------------------

let position = 0, follow = false;  // follow: scroll to where something happens
const last = frames * events - 1;
function show(to) {
  position = Math.max(0, Math.min(last, to));
  const frame = Math.floor(position / events), k = position % events, now = what(k), before = Math.max(0, frame - 1);
  $("slider").value = position;
  $("slider").setAttribute("aria-valuetext", `step ${film.steps[frame]}, ${now.phase}`);
  const n = { forward: film.stages.length, backward: film.edges.length, update: film.params.length }[now.phase];
  const i = now.stage ?? now.edge ?? now.param;
  $("where").textContent = `step ${film.steps[frame]} · ${now.phase} ${i + 1} of ${n}`;
  for (const item of $("phases").children) item.classList.toggle("now", item.dataset.phase === now.phase);
  $("flow").className = now.phase;
  $("caption").replaceChildren(...caption(frame, now));
  const edge = now.phase === "backward" ? film.edges[now.edge] : null;
  const gradients = new Set([film.stages.length - 1]), grads = new Set();
  film.edges.slice(0, now.phase === "backward" ? now.edge + 1 : now.phase === "update" ? events : 0).forEach((e) =>
    (e.to === "stage" ? gradients : grads).add(e.target));
  if (now.phase === "forward") gradients.clear();
  stages.forEach((stage, s) => {
    const done = now.phase !== "forward" || s <= now.stage;
    stage.output.draw(done ? frame : before, !done);
    stage.gradient.draw(gradients.has(s) ? frame : before, !gradients.has(s));
    const here = now.stage === s || (edge !== null && (edge.from === s || (edge.to === "stage" && edge.target === s)));
    stage.card.classList.toggle("now", here);
    map.stages[s].classList.toggle("now", here);
    map.stages[s].classList.toggle("done", now.phase === "forward" ? s <= now.stage : gradients.has(s));
  });
  params.forEach((param, p) => {
    const updated = now.phase === "update" && p <= now.param;
    const here = now.param === p || (edge !== null && edge.to === "parameter" && edge.target === p);
    param.card.classList.toggle("now", here);
    map.params[p]?.classList.toggle("now", here);
    map.params[p]?.classList.toggle("done", now.phase === "update" ? updated : grads.has(p));
    param.pictures.forEach((picture, j) => {
      const fresh = j === 1 ? grads.has(p) : updated;
      // A value stays what it is until its update; everything else is of the step before until it is made anew.
      picture.draw(fresh ? frame : before, !fresh && j > 0, p === chosen.param ? chosen.entry : undefined);
    });
  });
  map.arrows.forEach((arrow, s) => {
    const passing = edge !== null && edge.to === "stage" && edge.target <= s && s < edge.from;
    arrow.textContent = now.phase === "backward" ? "←" : "→";
    arrow.classList.toggle("now", passing || (now.phase === "forward" && now.stage === s + 1));
  });
  if (follow)
    for (const active of document.querySelectorAll(".stage.now, .parameter.now")) active.scrollIntoView({ block: "nearest" });
  const marked = map.params[now.param] || map.stages[now.stage ?? edge?.from];
  if (marked) $("map").scrollLeft = marked.offsetLeft - $("map").offsetLeft - $("map").clientWidth / 2;
  ledger(frame);
  curve($("loss"), film.losses, film.steps[frame]);
}

// --- Controls --------------------------------------------------------------------------------

let timer = null;
function play(on) {
  clearInterval(timer);
  timer = on ? setInterval(() => {
    const stride = $("stride").value === "step" ? events : 1;
    if (position + stride > last) play(false); else show(position + stride);
  }, 1000 / $("speed").value) : null;
  $("play").textContent = on ? "⏸ Pause" : "▶ Play";
  $("play").setAttribute("aria-label", on ? "Pause" : "Play");
}
const moves = {
  ArrowRight: () => show(position + 1), ArrowLeft: () => show(position - 1),
  PageDown: () => show(position + events), PageUp: () => show(position - events),
  Home: () => show(0), End: () => show(last), " ": () => play(timer === null),
};
document.addEventListener("keydown", (event) => {
  const inControl = ["SELECT", "BUTTON"].includes(event.target.tagName) || event.target.id === "speed";
  if (!moves[event.key] || event.ctrlKey || event.metaKey || event.altKey || inControl) return;
  event.preventDefault();
  if (event.key !== " ") play(false);
  moves[event.key]();
});
$("slider").max = last;
$("slider").addEventListener("input", () => { play(false); show(Number($("slider").value)); });
$("play").addEventListener("click", () => play(timer === null));
$("speed").addEventListener("input", () => { if (timer !== null) play(true); });
for (const [id, key] of [["back", "ArrowLeft"], ["forth", "ArrowRight"], ["step-back", "PageUp"], ["step-forth", "PageDown"]])
  $(id).addEventListener("click", () => { play(false); moves[key](); });
addEventListener("resize", () => show(position));
let touched = null;
$("flow").addEventListener("touchstart", (event) => { touched = event.touches[0].clientX; }, { passive: true });
$("flow").addEventListener("touchend", (event) => {
  const moved = event.changedTouches[0].clientX - touched;
  if (Math.abs(moved) > 50) { play(false); show(position + (moved < 0 ? 1 : -1)); }
}, { passive: true });

// --- Beginning -------------------------------------------------------------------------------

const settings = Object.entries(film.settings).filter(([name]) => ["betas", "eps", "momentum", "weight_decay"].includes(name))
  .filter(([, value]) => value).map(([name, value]) => `${name} ${Array.isArray(value) ? value.join(", ") : value}`).join(", ");
const ordinal = (n) => (n === 2 ? "second" : n === 3 ? "third" : `${n}th`);
const all = film.losses.length ? film.losses[film.losses.length - 1][0] : film.steps[frames - 1];
$("about").textContent = `${film.optimizer} (${[`lr ${film.rates[0]}`, settings].filter(Boolean).join(", ")}) · ${film.size.toLocaleString("en")} parameters · ` +
  `${frames} of ${all} steps` + (film.every > 1 ? `, every ${ordinal(film.every)}: a film keeps at most ${film.most}` : "") + (film.other ? ` · ${film.other} steps of another structure left out` : "") +
  (film.folded ? ` · the first ${film.folded} operations are not shown` : "") + (film.hidden ? ` · the first ${film.hidden} parameters are not shown` : "");
if (film.params.length) {  // of the first parameter, the entry that moved farthest is worth following
  const { rows, columns, kinds, start } = film.params[0], size = rows * columns;
  const way = Array.from({ length: size }, (_, i) => film.steps.reduce((sum, _, f) => sum + Math.abs(at(f, start + (kinds.length - 1) * size + i)), 0));
  chosen.entry = Math.max(0, way.indexOf(Math.max(...way)));
}
show(0);
follow = true;
