/* Pictures: classes × heads, and bars of a class. On the page, on paper and in files they are drawn by the same lines,
 * with colours resolved, so that a file stands alone. */

// ---- Making elements ---------------------------------------------------------------------------------------------

const SVG = 'http://www.w3.org/2000/svg';
const FONT = '"Liberation Sans", Arial, Helvetica, "DejaVu Sans", sans-serif';

function fill(e, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) e.setAttribute(key, value);
  e.append(...children.map((x) => (x instanceof Node ? x : String(x))));
  return e;
}
const make = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
const fixed = (x, digits) => (Number.isFinite(x) ? x.toFixed(digits) : '–');
const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, '\u00a0');
const plural = (n, one, more) => `${grouped(n)} ${n === 1 ? one : more}`;

const headLabel = (b, h) => (isShared(b, h) ? `s${h + 1}` : `r${h - b.shared + 1}`);
const headName = (b, h) => `${isShared(b, h) ? 'shared' : 'routed'} head ${headLabel(b, h)}`;
const isGray = (b, h) => b.routes && isShared(b, h); // always on: its shade would say nothing

// ---- Colours -----------------------------------------------------------------------------------------------------

/* One hue whose lightness goes one way; on dark paper the other way around. */
const ramps = {
  light: [[222, 235, 247], [198, 219, 239], [158, 202, 225], [107, 174, 214], [66, 146, 198], [33, 113, 181], [8, 81, 156], [8, 48, 107]],
  dark: [[24, 36, 52], [18, 54, 92], [20, 78, 136], [36, 108, 176], [74, 144, 204], [124, 180, 224], [176, 210, 238], [222, 236, 248]],
};
let theme = '', shades = [], colours = {};
function setColours(name) {
  theme = name;
  document.documentElement.dataset.theme = name;
  const style = getComputedStyle(document.documentElement), stops = ramps[name];
  for (const key of ['paper', 'ink', 'soft', 'grid', 'accent', 'action', 'shared'])
    colours[key] = style.getPropertyValue(`--${key}`).trim();
  shades = [];
  for (let i = 0; i <= 255; i++) {
    const place = (i / 255) * (stops.length - 1), k = Math.min(Math.floor(place), stops.length - 2), f = place - k;
    shades.push(`rgb(${stops[k].map((v, j) => Math.round(v + f * (stops[k + 1][j] - v))).join(',')})`);
  }
}
const shade = (t) => shades[Math.round(255 * Math.min(1, Math.max(0, t)))];

// ---- Scales ------------------------------------------------------------------------------------------------------

function roundStep(span, most) {
  const power = 10 ** Math.floor(Math.log10(span / most));
  return [1, 2, 2.5, 5, 10].map((s) => s * power).find((s) => span / s <= most + 1e-9);
}
/* A round range around [low, high]. */
function scaleOf(low, high) {
  if (high - low < 0.01) { low = Math.max(0, low - 0.005); high = low + 0.01; }
  const step = roundStep(high - low, 5);
  return { low: step * Math.floor(low / step + 1e-9), high: step * Math.ceil(high / step - 1e-9), step };
}
const decimals = (step) => (step >= 1 ? 0 : Math.max(1, Math.ceil(-Math.log10(step) - 1e-9)) + (/25$/.test(String(step)) ? 1 : 0));
/* Every how many heads there is room for a name. */
const everyFor = (pitch, room) => [1, 2, 5, 10, 20, 50, 100].find((n) => n * pitch >= room) || 100;
function isNamed(b, h, every) {
  const id = isShared(b, h) ? h + 1 : h - b.shared + 1;
  return every === 1 || id === 1 || (every === 2 ? id % 2 : id % every === 0);
}

// ---- Where a picture is drawn ------------------------------------------------------------------------------------

const ruler = document.createElement('canvas').getContext('2d');
/* Cut so that it fits. */
function fitting(text, size, room) {
  ruler.font = `${size}px ${FONT}`;
  if (ruler.measureText(text).width <= room) return text;
  let n = text.length;
  while (n > 1 && ruler.measureText(`${text.slice(0, n)}…`).width > room) n--;
  return `${text.slice(0, n)}…`;
}
const anchors = { start: 'left', middle: 'center', end: 'right' };
function onCanvas(g) {
  return {
    rect(x, y, width, height, colour) { g.fillStyle = colour; g.fillRect(x, y, width, height); },
    text(x, y, text, size, colour, anchor = 'start') {
      g.font = `${size}px ${FONT}`;
      g.fillStyle = colour;
      g.textAlign = anchors[anchor];
      g.textBaseline = 'middle';
      g.fillText(text, x, y);
    },
  };
}
const textAt = (x, y, text, size, colour, anchor = 'start') =>
  draw('text', { x, y: y + 0.36 * size, 'font-size': size, fill: colour, 'text-anchor': anchor }, text);
function onSvg(svg) {
  return {
    rect(x, y, width, height, colour) { svg.append(draw('rect', { x, y, width, height, fill: colour })); },
    text(...of) { svg.append(textAt(...of)); },
  };
}
/* A file of its own: what it shows is said inside. */
function standalone(width, height, heading, description, ...children) {
  return draw('svg', { viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': heading,
    'font-family': FONT }, draw('title', {}, heading), draw('desc', {}, description),
  draw('rect', { width, height, fill: colours.paper }), ...children);
}

// ---- Classes × heads ---------------------------------------------------------------------------------------------

/* view: { block, measure, heads, rows, scale }. Where its cells are, at this width. */
function framed(view, width, rowHeight) {
  const { block, heads } = view, labels = rowHeight >= 9, left = labels ? Math.min(170, Math.round(width * 0.3)) : 12;
  const gray = heads.filter((h) => isGray(block, h)).length, gap = gray && gray < heads.length ? 8 : 0;
  const cell = (width - left - 8 - gap) / heads.length;
  return { ...view, width, rowHeight, labels, left, top: 24, cell, x: (i) => left + i * cell + (i >= gray ? gap : 0) };
}
/* Rows first to last, the first of them at y. marks: classes that are chosen. */
function drawRows(on, f, first, last, y, marks) {
  const { block, heads, scale, left, cell, rowHeight } = f, seam = rowHeight >= 6 ? 1 : 0, columnSeam = cell >= 6 ? 1 : 0;
  for (let r = first; r < last; r++, y += rowHeight) {
    const c = f.rows[r], mark = marks.includes(c), size = Math.min(12.5, rowHeight - 1.5);
    heads.forEach((h, i) => on.rect(f.x(i), y, cell - columnSeam, rowHeight - seam,
      isGray(block, h) ? colours.shared : shade((f.measure.of(c, block, h) - scale.low) / (scale.high - scale.low))));
    if (f.labels)
      on.text(left - 8, y + rowHeight / 2, fitting(title(c), size, left - 12), size, mark ? colours.action : colours.ink, 'end');
    else if (mark)
      on.rect(2, y, left - 4, Math.max(rowHeight, 2), colours.action);
  }
}
function drawHeadNames(on, f) {
  const every = everyFor(f.cell, 24);
  f.heads.forEach((h, i) => {
    if (isNamed(f.block, h, every)) on.text(f.x(i) + f.cell / 2, f.top / 2, headLabel(f.block, h), 11.5, colours.soft, 'middle');
  });
}
/* The scale of shades, 76 × 196. */
function legendOf(view) {
  const { low, high, step } = view.scale, height = 180, svg = draw('svg', { width: 76, height: 196, viewBox: '0 -8 76 196' });
  for (let i = 0; i < 60; i++)
    svg.append(draw('rect', { x: 6, y: height - ((i + 1) * height) / 60, width: 12, height: height / 60 + 0.5, fill: shade(i / 59) }));
  for (let v = low; v <= high + 1e-9; v += step)
    svg.append(textAt(24, height * (1 - (v - low) / (high - low)), v.toFixed(decimals(step)), 11, colours.soft));
  const y = height * (1 - (view.measure.level(view.block) - low) / (high - low));
  if (view.block.routes && y >= 0 && y <= height)
    svg.append(draw('line', { x1: 0, x2: 18, y1: y, y2: y, stroke: colours.accent, 'stroke-width': 2 }));
  return svg;
}
const levelText = (view) => (view.block.routes && view.measure.levelName ? `${view.measure.levelName} ${view.measure.level(view.block).toFixed(3)}` : '');

/* Rows first to last, in a picture of its own. */
function heatmapPicture(view, width, rowHeight, first, last) {
  const { block, measure } = view, f = framed(view, width - 84, rowHeight), below = without ? 60 : 44;
  const height = below + Math.max(f.top + (last - first) * rowHeight + 8, 220);
  const some = last - first < view.rows.length ? `rows ${first + 1} to ${last} of ` : '';
  const heading = `Block ${block.name}: ${measure.name} of the heads by class`;
  const text = `${data.model}, ${some}${plural(view.rows.length, 'class', 'classes')} ${view.orderName}`;
  const cells = draw('g', { transform: `translate(0 ${below})`, 'shape-rendering': 'crispEdges' }), on = onSvg(cells);
  drawHeadNames(on, f);
  drawRows(on, f, first, last, f.top, []);
  const legend = legendOf(view);
  legend.setAttribute('x', width - 80);
  legend.setAttribute('y', below + f.top - 8);
  return standalone(width, height, heading,
    `${text}. A row for each class, a column for each head (s1: first shared head, r1: first routed one); the darker or lighter ` +
    `end of the scale, from ${view.scale.low.toFixed(decimals(view.scale.step))} to ${view.scale.high.toFixed(decimals(view.scale.step))}, at the right. ` +
    `${without && `All of it was ${without}. `}File: ${data.file}.`,
    textAt(0, 11, heading, 14, colours.ink), textAt(0, 30, text, 11.5, colours.soft), textAt(0, 46, fitting(without, 11.5, width), 11.5, colours.soft),
    cells, legend,
    textAt(width - 80, below + f.top + 200, levelText(view), 11, colours.accent));
}

// ---- Bars --------------------------------------------------------------------------------------------------------

const BARS = { width: 290, height: 120, left: 30 };

/* view: also { intervals, top, step, low, high }, the scale of the bars and of their shades. */
function barsOf(view, c) {
  const { block: b, measure, heads, top, step, low, high } = view, { width, height, left } = BARS;
  const gray = heads.filter((h) => isGray(b, h)).length, gap = gray ? 6 : 0, pitch = (width - left - gap) / heads.length;
  const bar = pitch * 0.82, x = (i) => left + i * pitch + (i >= gray ? gap : 0), y = (value) => height * (1 - value / top);
  const highest = heads.filter((h) => !isGray(b, h)).sort((p, q) => measure.of(c, b, q) - measure.of(c, b, p)).slice(0, 3);
  const svg = draw('svg', { viewBox: `0 -6 ${width} ${height + 24}`, role: 'img',
    'aria-label': `Bars of ${names[c]}; highest ${measure.name}: ${highest.map((h) => `${headName(b, h)} ${measure.of(c, b, h).toFixed(2)}`).join(', ')}` });
  const line = (x1, x2, y1, y2, stroke, more) => svg.append(draw('line', { x1, x2, y1, y2, stroke, ...more }));
  for (let v = 0; v <= top + 1e-9; v += step) {
    line(left, width, y(v), y(v), v ? colours.grid : colours.soft);
    svg.append(textAt(left - 5, y(v), v.toFixed(decimals(step)), 10.5, colours.soft, 'end'));
  }
  const every = everyFor(pitch, 20);
  heads.forEach((h, i) => {
    const value = measure.of(c, b, h), interval = view.intervals ? measure.interval(c, b, h) : null;
    svg.append(draw('rect', { x: x(i) + (pitch - bar) / 2, y: y(value), width: bar, height: height - y(value), 'data-head': h,
      fill: isGray(b, h) ? colours.shared : shade(0.2 + 0.8 * (high > low ? (value - low) / (high - low) : 0.5)) },
    draw('title', {}, `${headName(b, h)}: ${value.toFixed(4)}${interval ? `, ${rangeText(interval)}` : ''}`)));
    if (interval && interval[1] > interval[0]) drawInterval(line, x(i) + pitch / 2, Math.min(pitch / 4, 3), y(interval[0]), y(interval[1]), interval[2]);
    if (isNamed(b, h, every)) svg.append(textAt(x(i) + pitch / 2, height + 10, headLabel(b, h), 10.5, colours.soft, 'middle'));
  });
  if (b.routes && measure.levelName)
    line(x(gray), width, y(measure.level(b)), y(measure.level(b)), colours.accent, { 'stroke-width': 1.5, 'stroke-dasharray': '5 3' });
  return svg;
}
/* From y to end, around it paper, by which it is seen on a dark bar; dashed and without caps where it is unreliable. */
function drawInterval(line, x, cap, y, end, reliable) {
  for (const [stroke, width] of [[colours.paper, 3], [colours.ink, 1.2]]) {
    const dashes = stroke === colours.ink && !reliable ? { 'stroke-dasharray': '2 2' } : {};
    line(x, x, y, end, stroke, { 'stroke-width': width, class: 'interval', ...dashes });
    for (const at of reliable ? [y, end] : []) line(x - cap, x + cap, at, at, stroke, { 'stroke-width': width });
  }
}
const rangeText = ([low, high, reliable]) => `${low.toFixed(3)} to ${high.toFixed(3)}${reliable ? '' : ' (few images decide)'}`;
const imagesText = (c) => `n = ${grouped(images[c])}`;

/* What the absence of each head costs in loss, over all classes, on a scale of its own. */
function changesOf(view) {
  const { block: b, heads } = view, { width, height, left } = BARS, known = heads.filter((h) => ablationOf(b, h));
  const ends = known.flatMap((h) => ablationOf(b, h).loss.slice(0, 3).filter((v) => v !== null));
  const low0 = Math.min(0, ...ends), high0 = Math.max(1e-6 + low0, 0, ...ends), most = Math.max(high0, -low0);
  const [factor, unit] = most < 1e-5 ? [1e6, ' × 1,000,000'] : most < 0.01 ? [1e3, ' × 1,000'] : [1, ''];
  const step = roundStep(high0 - low0, 5), low = step * Math.floor(low0 / step + 1e-9), high = step * Math.ceil(high0 / step - 1e-9);
  const gray = heads.filter((h) => isGray(b, h)).length, gap = gray ? 6 : 0, pitch = (width - left - gap) / heads.length;
  const bar = pitch * 0.82, x = (i) => left + i * pitch + (i >= gray ? gap : 0), y = (value) => (height * (high - value)) / (high - low);
  const first = [...known].sort((p, q) => ablationOf(b, q).loss[0] - ablationOf(b, p).loss[0]).slice(0, 3);
  const svg = draw('svg', { viewBox: `0 -6 ${width} ${height + 24}`, role: 'img', 'aria-label':
    `Change of loss without a head; highest: ${first.map((h) => `${headName(b, h)} ${signed(ablationOf(b, h).loss[0])}`).join(', ')}` });
  const line = (x1, x2, y1, y2, stroke, more) => svg.append(draw('line', { x1, x2, y1, y2, stroke, ...more }));
  for (let i = 0; low + i * step <= high + step / 2; i++) {
    const v = low + i * step, zero = Math.abs(v) < step / 2;
    line(left, width, y(v), y(v), zero ? colours.soft : colours.grid);
    svg.append(textAt(left - 5, y(v), (zero ? 0 : v * factor).toFixed(decimals(step * factor)).replace('-', '−'), 10.5, colours.soft, 'end'));
  }
  const every = everyFor(pitch, 20);
  heads.forEach((h, i) => {
    const change = ablationOf(b, h);
    if (change) {
      const [value, from, to] = change.loss, at = y(Math.max(value, 0));
      svg.append(draw('rect', { x: x(i) + (pitch - bar) / 2, y: at, width: bar, height: y(Math.min(value, 0)) - at, 'data-head': h,
        fill: isGray(b, h) ? colours.shared : shade(0.6) }, draw('title', {}, `${headName(b, h)}: ${changeText(change.loss)}`)));
      if (to > from) drawInterval(line, x(i) + pitch / 2, Math.min(pitch / 4, 3), y(from), y(to), true);
    }
    if (isNamed(b, h, every)) svg.append(textAt(x(i) + pitch / 2, height + 10, headLabel(b, h), 10.5, colours.soft, 'middle'));
  });
  return { svg, unit };
}
/* Without the sign of what is 0 in so many decimals. */
const signed = (v, digits = 4) => `${v < 0 && Number(v.toFixed(digits)) ? '−' : '+'}${Math.abs(v).toFixed(digits)}`;
const changeRange = ([, low, high]) => (low === null ? '–' : `${signed(low)} to ${signed(high)}`);
const changeText = (change) => `${signed(change[0])}${change[1] === null ? '' : `, ${changeRange(change)}`}`;
const changesTitle = (unit) => `Loss change without the head${unit}`;
const changesCount = () => `n = ${grouped(data.ablated.images)}, all classes${data.ablated.renormalise ? ', gates renormalised' : ''}`;

/* Panels of all chosen classes, and of what heads cost, in a picture of its own. */
function barsPicture(view, list, note) {
  const all = list.map((c) => ({ title: title(c), count: imagesText(c), svg: barsOf(view, c) }));
  if (view.block.importance) {
    const { svg, unit } = changesOf(view);
    all.push({ title: changesTitle(unit), count: `n = ${grouped(data.ablated.images)}`, svg });
  }
  const columns = Math.min(3, all.length), wide = BARS.width + 20, tall = BARS.height + 56, below = without ? 64 : 48, size = 12;
  const width = columns * wide - 20, height = below + Math.ceil(all.length / columns) * tall;
  const panels = all.map((panel, i) => {
    for (const [key, value] of Object.entries({ y: 16, width: BARS.width, height: BARS.height + 24 })) panel.svg.setAttribute(key, value);
    return draw('g', { transform: `translate(${(i % columns) * wide} ${below + Math.floor(i / columns) * tall})` },
      textAt(0, 6, fitting(panel.title, size, BARS.width - 60), size, colours.ink), textAt(BARS.width, 6, panel.count, 11, colours.soft, 'end'), panel.svg);
  });
  const heading = `Block ${view.block.name}: ${view.measure.name} of the heads`;
  return standalone(width, height, heading, `${all.map((panel) => panel.svg.getAttribute('aria-label')).join('; ')}. ${note} ${without && `All of it was ${without}. `}File: ${data.file}.`,
    textAt(0, 11, heading, 14, colours.ink), textAt(0, 30, fitting(`${data.model}${levelText(view) && `, dashed line: ${levelText(view)}`}${view.intervals && view.measure === measures['gate-share'] ? '; no intervals' : ''}`, 11.5, width), 11.5, colours.soft),
    textAt(0, 46, fitting(without, 11.5, width), 11.5, colours.soft), ...panels);
}

// ---- Files -------------------------------------------------------------------------------------------------------

const markupOf = (svg) => `<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(svg)}\n`;
const svgFile = (svg) => new Blob([markupOf(svg)], { type: 'image/svg+xml' });

/* Two dots to a pixel, fewer where a browser's canvas would be too small. */
async function pngFile(svg) {
  const width = Number(svg.getAttribute('width')), height = Number(svg.getAttribute('height'));
  const scale = Math.min(2, 16000 / Math.max(width, height)), image = new Image(), canvas = document.createElement('canvas');
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(markupOf(svg))}`;
  await image.decode();
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => { canvas.toBlob(done, 'image/png'); });
}
