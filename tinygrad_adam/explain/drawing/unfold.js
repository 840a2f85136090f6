// Folds and unfolds modules by click or key: places all boxes again, as `place` in placing.py does.
(() => {
  const svg = document.currentScript ? document.currentScript.closest("svg") : document.documentElement;
  const { levels, boxes, right, foot, constants: { GAP_X, GAP_Y, GAP_END, PAD, HEAD, ROUNDS, FIXED, STEP, MARGIN } } = DATA;
  const find = (kind, key) => svg.querySelector(`[data-${kind}="${key}"]`);
  const fixed = (n) => n.toFixed(1);
  const turned = (a, b) => (right ? [b, a] : [a, b]);  // sizes and coordinates of the layout, or those of the picture
  const point = (x, y) => turned(x, y).map(fixed).join(" ");
  for (const [key, box] of Object.entries(boxes)) {
    Object.assign(box, { key, w: 0, h: 0, x: 0, y: 0, above: [], below: [] });
  }
  for (const level of Object.values(levels)) {
    level.links = level.links.map(([upper, lower, pull, leaving, entering]) => {
      const link = { upper: boxes[upper], lower: boxes[lower], pull, leaving, entering };
      link.upper.below.push(link);
      link.lower.above.push(link);
      return link;
    });
  }

  const at = (box, end) => (end && box.open ? levels[box.level].inset + boxes[end].x - box.w / 2 : 0);

  function place(level, around) {
    const rows = level.rows.map((row) => row.map((key) => boxes[key]));
    for (const box of rows.flat()) {
      Object.assign(box, { w: box.width, h: box.height });
      if (levels[box.level]) place(levels[box.level], box);
    }
    for (const row of rows) {
      let x = 0;
      for (const box of row) {
        box.x = x + box.w / 2;
        x += box.w + GAP_X;
      }
    }
    for (let turn = 0; turn < ROUNDS; turn++) {
      const upward = turn % 2 === 1, both = turn >= ROUNDS - 2;
      for (const row of upward ? rows.slice().reverse() : rows) settle(row, both || !upward, both || upward);
    }
    const beside = new Map();
    for (const row of rows) row.forEach((box, i) => beside.set(box, [row[i - 1], row[i + 1]]));
    for (const chain of [...level.chains, ...level.chains]) straighten(chain.map((i) => level.links[i]), beside);
    for (const row of rows) settle(row, false, true, true);
    const left = Math.min(...rows.flat().map((box) => box.x - box.w / 2));
    let y = 0, before = null;
    const spans = new Map();
    for (const row of rows) {
      const height = Math.max(...row.map((box) => box.h));
      if (before !== null) y += height && before ? GAP_Y : GAP_END;
      before = height;
      for (const box of row) {
        box.x -= left;
        box.y = y + (height - box.h) * (box.where === "source" ? 1 : 0.5);
        spans.set(box, [y, y + height]);
      }
      y += height;
    }
    level.width = Math.max(...rows.flat().map((box) => box.x + box.w / 2));
    level.height = y;
    if (around) frame(level, around);
    const groups = new Map();
    for (const edge of level.edges) {
      if (!groups.has(edge.target)) groups.set(edge.target, []);
      groups.get(edge.target).push(edge);
    }
    for (const [key, group] of groups) {
      const target = boxes[key];
      const from = (edge) => boxes[edge.via.length ? edge.via[edge.via.length - 1] : edge.source].x;
      group.sort((a, b) => from(a) - from(b));
      const step = Math.min(STEP, (0.8 * target.w) / group.length);
      group.forEach((edge, i) => {
        const entry = edge.entering && target.open
          ? target.x + at(target, edge.entering)
          : target.x + (i - (group.length - 1) / 2) * step;
        find("edge", edge.key).setAttribute("d", path(edge, entry, spans, level));
      });
    }
    for (const box of rows.flat()) show(box);
  }

  function frame(level, box) {
    const [across, along] = turned(PAD, HEAD);
    const width = Math.max(level.width + across + PAD, box.width);
    const height = Math.max(level.height + along + PAD, box.height);
    level.inset = across + (width - across - PAD - level.width) / 2;
    level.lead = along + (height - along - PAD - level.height) / 2;
    level.trail = height - level.lead - level.height;
    if (box.open) Object.assign(box, { w: width, h: height });
  }

  function settle(row, above, below, sourcesOnly = false) {
    const pools = [], offsets = [];
    let offset = 0;
    row.forEach((box, i) => {
      offset += i ? (row[i - 1].w + box.w) / 2 + GAP_X : 0;
      offsets.push(offset);
      const near = [];
      if (above) for (const l of box.above) near.push([l.pull, l.upper.x + at(l.upper, l.leaving) - at(box, l.entering)]);
      if (below) for (const l of box.below) near.push([l.pull, l.lower.x + at(l.lower, l.entering) - at(box, l.leaving)]);
      let pull = near.reduce((sum, [weight]) => sum + weight, 0) || 0.1;
      let wanted = near.length ? near.reduce((sum, [weight, x]) => sum + weight * x, 0) / pull : box.x;
      if (sourcesOnly && box.where !== "source") [pull, wanted] = [FIXED, box.x];
      pools.push([pull, wanted - offset, 1]);
      while (pools.length > 1 && pools[pools.length - 2][1] > pools[pools.length - 1][1]) {
        const b = pools.pop(), a = pools.pop(), total = a[0] + b[0];
        pools.push([total, (a[0] * a[1] + b[0] * b[1]) / total, a[2] + b[2]]);
      }
    });
    let i = 0;
    for (const [, mean, count] of pools) {
      for (let n = 0; n < count; n++, i++) row[i].x = mean + offsets[i];
    }
  }

  function straighten(chain, beside) {
    const column = [chain[0].upper, ...chain.map((link) => link.lower)];
    const shifts = [0];
    for (const l of chain) shifts.push(shifts[shifts.length - 1] + at(l.upper, l.leaving) - at(l.lower, l.entering));
    let low = -Infinity, high = Infinity, sum = 0;
    column.forEach((box, i) => {
      const [left, right] = beside.get(box);
      if (left) low = Math.max(low, left.x + (left.w + box.w) / 2 + GAP_X - shifts[i]);
      if (right) high = Math.min(high, right.x - (right.w + box.w) / 2 - GAP_X - shifts[i]);
      sum += box.x - shifts[i];
    });
    if (low > high) return;
    const mean = Math.min(Math.max(sum / column.length, low), high);
    column.forEach((box, i) => { box.x = mean + shifts[i]; });
  }

  function path(edge, entry, spans, level) {
    const straight = right ? "H" : "V";
    const source = boxes[edge.source], target = boxes[edge.target];
    let x = source.x + at(source, edge.leaving), y = source.y + source.h;
    if (source.where === "top") y = -level.lead;
    let bottom = spans.get(source)[1];
    let d = `M${point(x, y)}${straight}${fixed(bottom)}`;
    for (const stop of [...edge.via.map((key) => boxes[key]), target]) {
      const to = stop === target ? entry : stop.x;
      const top = spans.get(stop)[0];
      const middle = (bottom + top) / 2;
      d += `C${point(x, middle)} ${point(to, middle)} ${point(to, top)}`;
      x = to;
      bottom = spans.get(stop)[1];
      if (stop !== target) d += `${straight}${fixed(bottom)}`;
    }
    if (target.where === "bottom") return `${d}${straight}${fixed(level.height + level.trail)}`;
    d += `${straight}${fixed(target.y)}`;
    return target.open && edge.entering ? d : `${d}${right ? "m-7 -3.5l7 3.5l-7 3.5" : "m-3.5 -7l3.5 7l3.5 -7"}`;
  }

  function show(box) {
    const group = find("box", box.key);
    if (!group) return;
    group.setAttribute("transform", `translate(${point(box.x - box.w / 2, box.y)})`);
    if (!box.level) return;
    const open = Boolean(box.open);
    find("face", box.key).setAttribute("display", open ? "none" : "inline");
    find("inside", box.key).setAttribute("display", open ? "inline" : "none");
    const frame = find("frame", box.key);
    const [width, height] = turned(box.w, box.h);
    frame.setAttribute("width", fixed(width));
    frame.setAttribute("height", fixed(height));
    find("level", box.level).setAttribute("transform", `translate(${point(levels[box.level].inset, levels[box.level].lead)})`);
  }

  function draw() {
    place(levels.whole);
    const [across, down] = turned(levels.whole.width, levels.whole.height);
    const width = Math.max(across, foot[0]) + 2 * MARGIN;
    const height = down + foot[1] + 3 * MARGIN;
    svg.setAttribute("viewBox", `0 0 ${fixed(width)} ${fixed(height)}`);
    svg.setAttribute("width", fixed(width));
    svg.setAttribute("height", fixed(height));
    const shift = (width - across) / 2;
    find("level", "whole").setAttribute("transform", `translate(${fixed(shift)} ${fixed(MARGIN)})`);
    find("foot", "foot").setAttribute("transform", `translate(${fixed(MARGIN)} ${fixed(down + 2 * MARGIN)})`);
  }

  function toggle(event) {
    const handle = event.target.closest("[data-handle]");
    if (!handle || (event.type === "keydown" && event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    const box = boxes[handle.dataset.handle];
    box.open = !box.open;
    draw();
    if (event.type === "keydown") find(box.open ? "inside" : "face", box.key).querySelector(":scope > [data-handle]").focus();
  }
  svg.addEventListener("click", toggle);
  svg.addEventListener("keydown", toggle);
})();
