/* The page of `mohvit headload report`. What came from files reaches the page as text alone: through textContent,
 * attributes and the canvas, never as markup. */

// ---- Making elements ------------------------------------------------------------------------------------------

function make(tag, attributes, ...children) {
  const svg = ['svg', 'rect', 'line', 'text', 'g', 'title'].includes(tag);
  const e = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) e.setAttribute(key, value);
  e.append(...children.map((x) => (x instanceof Node ? x : String(x))));
  return e;
}
const fixed = (x, digits) => (Number.isFinite(x) ? x.toFixed(digits) : '–');
const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, '\u00a0');

// ---- Colours ------------------------------------------------------------------------------------------------

/* One hue whose lightness goes one way; on dark paper the other way around. */
const ramps = {
  light: [[222, 235, 247], [198, 219, 239], [158, 202, 225], [107, 174, 214], [66, 146, 198], [33, 113, 181], [8, 81, 156], [8, 48, 107]],
  dark: [[24, 36, 52], [18, 54, 92], [20, 78, 136], [36, 108, 176], [74, 144, 204], [124, 180, 224], [176, 210, 238], [222, 236, 248]],
};
let theme = 'light', shades = [];
function setTheme(name) {
  theme = name;
  document.documentElement.dataset.theme = name;
  $('theme').setAttribute('aria-pressed', String(name === 'dark'));
  const stops = ramps[name];
  shades = [];
  for (let i = 0; i <= 255; i++) {
    const at = (i / 255) * (stops.length - 1), k = Math.min(Math.floor(at), stops.length - 2), f = at - k;
    shades.push(`rgb(${stops[k].map((v, j) => Math.round(v + f * (stops[k + 1][j] - v))).join(',')})`);
  }
}
const shade = (t) => shades[Math.round(255 * Math.min(1, Math.max(0, t)))];
const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// ---- State ---------------------------------------------------------------------------------------------------

let now = routing[routing.length - 1] || blocks[blocks.length - 1]; // whose numbers are ready
let wanted = now;
let measure = measures.load;
let rows = []; // the classes in the order of the heatmap
let rowHeight = classes <= 30 ? 22 : classes <= 120 ? 14 : 4;
let cursor = { row: 0, column: 0 };
const chosen = [];

const columns = () => {
  const all = [];
  for (let h = $('shared').checked || !now.routes ? 0 : now.shared; h < now.heads; h++) all.push(h);
  return all;
};
const headName = (b, h) => `${isShared(b, h) ? 'shared' : 'routed'} head ${headLabel(b, h)}`;
const headLabel = (b, h) => (isShared(b, h) ? `s${h + 1}` : `r${h - b.shared + 1}`);

function orderRows() {
  const kind = $('order').value, all = Array.from({ length: classes }, (_, c) => c);
  if (kind === 'similarity' && now.routes)
    rows = Array.from(now.counted.order);
  else if (kind === 'name')
    rows = all.sort((a, b) => names[a].localeCompare(names[b]) || a - b);
  else
    rows = all;
}

function rangeOf(list, b) {
  let low = Infinity, high = -Infinity;
  for (const c of list) {
    if (!images[c]) continue;
    for (let h = b.routes ? b.shared : 0; h < b.heads; h++) {
      const value = measure.of(c, b, h);
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return low <= high ? [low, high] : [0, 1];
}
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

// ---- Summary -------------------------------------------------------------------------------------------------

function sourceName(s) {
  const from = s.source || (Array.isArray(s.prefixes) ? s.prefixes.map((p) => p.replace(/#$/, '')).join(' ') : '') || JSON.stringify(s);
  return `${from}${s.shard ? `, part ${s.shard}` : ''}`;
}
function fillSummary() {
  const seen = images.filter((n) => n > 0).length;
  const add = (term, text, wide) => {
    if (text === undefined || text === null || text === '') return;
    $('summary').append(make('div', wide ? { class: 'wide' } : {}, make('dt', {}, term), make('dd', {}, text)));
  };
  add('Model', data.model);
  add('Images', grouped(images.reduce((a, b) => a + b, 0)));
  add('Classes', seen === classes ? grouped(classes) : `${grouped(seen)} of ${grouped(classes)} seen`);
  add('Active heads', `${+data.activePercent.toFixed(2)} %`);
  add('Blocks that route', `${routing.length} of ${blocks.length}`);
  add('Heads of a block', `up to ${Math.max(...blocks.map((b) => b.heads))}`);
  if (!data.squares) add('Intervals', 'none, as 0.1 counted');
  add('Counted by', data.provenance.counted_by);
  add('mohvit', data.provenance.version);
  add('File', data.file, true);
  add('Data', data.sources.map(sourceName).join(', '), true);
  add('Weights (XXH3-128)', data.provenance.weights_hash, true);
}

// ---- Heatmap -------------------------------------------------------------------------------------------------

let frame = null; // where things are on the canvas
function layOut() {
  const box = $('heatmap'), width = box.clientWidth, heads = columns();
  const labels = rowHeight >= 11, left = labels ? Math.min(170, Math.round(width * 0.3)) : 12, top = 24;
  const gap = heads.length && isShared(now, heads[0]) && !isShared(now, heads[heads.length - 1]) ? 8 : 0;
  const sharedCount = heads.filter((h) => isShared(now, h)).length;
  const cell = (width - left - 8 - gap) / heads.length;
  const [low, high] = rangeOf(rows, now);
  frame = { width, heads, left, top, cell, gap, sharedCount, labels, scale: scaleOf(low, high) };
  const full = top + classes * rowHeight + 6;
  $('spacer').style.height = `${full}px`;
  frame.height = Math.min(full, 620);
  box.style.height = `${Math.min(full + 2, 622)}px`;
}
const columnX = (i) => frame.left + i * frame.cell + (i >= frame.sharedCount ? frame.gap : 0);
const shadeOf = (value) => shade((value - frame.scale.low) / (frame.scale.high - frame.scale.low));

function drawHeatmap() {
  const canvas = $('canvas'), ratio = window.devicePixelRatio || 1, scroll = $('heatmap').scrollTop;
  const { width, height, heads, top, cell, left } = frame;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const g = canvas.getContext('2d');
  g.scale(ratio, ratio);
  g.fillStyle = variable('--paper');
  g.fillRect(0, 0, width, height);
  const sharedColour = variable('--shared'), absent = variable('--absent'), ink = variable('--ink'), soft = variable('--soft');
  const first = Math.max(0, Math.floor(scroll / rowHeight)), last = Math.min(classes, Math.ceil((scroll + height - top) / rowHeight));
  const seam = rowHeight >= 6 ? 1 : 0, columnSeam = cell >= 6 ? 1 : 0;
  g.save();
  g.beginPath();
  g.rect(0, top, width, height - top);
  g.clip();
  g.font = `${Math.min(12.5, rowHeight - 2)}px system-ui, "Liberation Sans", sans-serif`;
  g.textAlign = 'right';
  g.textBaseline = 'middle';
  for (let r = first; r < last; r++) {
    const c = rows[r], y = top + r * rowHeight - scroll;
    for (let i = 0; i < heads.length; i++) {
      const h = heads[i];
      g.fillStyle = !images[c] ? absent : now.routes && isShared(now, h) ? sharedColour : shadeOf(measure.of(c, now, h));
      g.fillRect(columnX(i), y, cell - columnSeam, rowHeight - seam);
    }
    if (frame.labels) {
      g.fillStyle = chosen.includes(c) ? variable('--action') : ink;
      let text = title(c);
      while (text.length > 1 && g.measureText(text).width > left - 14) text = `${text.replace(/…$/, '').slice(0, -1)}…`;
      g.fillText(text, left - 8, y + rowHeight / 2);
    } else if (chosen.includes(c)) {
      g.fillStyle = variable('--action');
      g.fillRect(2, y, left - 4, Math.max(rowHeight, 2));
    }
  }
  if (classes && heads.length) {
    g.strokeStyle = variable('--accent');
    g.lineWidth = 2;
    g.strokeRect(columnX(cursor.column) - 0.5, top + cursor.row * rowHeight - scroll - 0.5, cell, Math.max(rowHeight, 3));
  }
  g.restore();
  g.font = '11.5px system-ui, "Liberation Sans", sans-serif';
  g.fillStyle = soft;
  g.textAlign = 'center';
  g.textBaseline = 'middle';
  const every = [1, 2, 5, 10, 20, 50, 100].find((n) => n * cell >= 24) || 100;
  heads.forEach((h, i) => {
    const id = isShared(now, h) ? h + 1 : h - now.shared + 1;
    if (every === 1 || id === 1 || (every === 2 ? id % 2 : id % every === 0)) g.fillText(headLabel(now, h), columnX(i) + cell / 2, top / 2);
  });
}

function drawLegend() {
  const { low, high, step } = frame.scale, height = 180, legend = $('legend');
  const svg = make('svg', { width: 70, height: height + 16, viewBox: `0 -8 70 ${height + 16}` });
  for (let i = 0; i < 60; i++)
    svg.append(make('rect', { x: 6, y: height - ((i + 1) * height) / 60, width: 12, height: height / 60 + 0.5, fill: shade(i / 59) }));
  for (let v = low; v <= high + 1e-9; v += step) {
    const text = make('text', { x: 24, y: height * (1 - (v - low) / (high - low)) + 4, fill: 'currentColor', 'font-size': 11 }, v.toFixed(decimals(step)));
    svg.append(text);
  }
  const at = height * (1 - (measure.level(now) - low) / (high - low));
  if (now.routes && at >= 0 && at <= height)
    svg.append(make('line', { x1: 0, x2: 18, y1: at, y2: at, stroke: 'var(--accent)', 'stroke-width': 2 }));
  legend.replaceChildren(make('div', {}, measure.name), svg);
  if (now.routes && measure.levelName) {
    const note = make('div', {}, `${measure.levelName} ${measure.level(now).toFixed(3)}`);
    note.style.color = 'var(--accent)';
    legend.append(note);
  }
}

const rangeText = ([low, high, reliable]) => `${low.toFixed(3)} to ${high.toFixed(3)}${reliable ? '' : ' (few images decide)'}`;
function describeCell() {
  const c = rows[cursor.row], h = frame.heads[cursor.column];
  if (c === undefined || h === undefined) return '';
  const who = `${names[c]}${ids[c] ? ` (${ids[c]})` : ''}, class ${c}, block ${now.name}, ${headName(now, h)}`;
  if (!images[c]) return `${who}: no images`;
  const tokens = grouped(tokensOf(c, now)), interval = measure.interval(c, now, h);
  const range = interval ? `, 95 % of the ${measure.name} ${rangeText(interval)}` : '';
  return `${who}: load ${loadOf(c, now, h).toFixed(4)} (${grouped(activeOf(c, now, h))} of ${tokens} tokens)${range}, gate share ${gateShareOf(c, now, h).toFixed(4)}, mean gate ${gateOf(c, now, h).toFixed(4)}`;
}
function showCell() {
  $('readout').textContent = describeCell();
  const readout = $('readout').dataset;
  readout.class = rows[cursor.row];
  readout.head = frame.heads[cursor.column];
}

function redrawHeatmap() {
  orderRows();
  layOut();
  cursor.column = Math.min(cursor.column, frame.heads.length - 1);
  drawHeatmap();
  drawLegend();
  showCell();
}

function moveTo(row, column) {
  const box = $('heatmap');
  cursor = { row: Math.min(classes - 1, Math.max(0, row)), column: Math.min(frame.heads.length - 1, Math.max(0, column)) };
  const y = cursor.row * rowHeight, room = frame.height - frame.top;
  if (y < box.scrollTop) box.scrollTop = y;
  if (y + rowHeight > box.scrollTop + room) box.scrollTop = y + rowHeight - room;
  drawHeatmap();
  showCell();
}
function cellAt(event) {
  const box = $('canvas').getBoundingClientRect();
  const x = event.clientX - box.left, y = event.clientY - box.top;
  const row = Math.floor((y - frame.top + $('heatmap').scrollTop) / rowHeight);
  if (y < frame.top || row < 0 || row >= classes) return null;
  for (let i = 0; i < frame.heads.length; i++)
    if (x >= columnX(i) && x < columnX(i) + frame.cell) return { row, column: i };
  return x < frame.left ? { row, column: cursor.column } : null;
}

// ---- Choosing a block ----------------------------------------------------------------------------------------

async function setBlock(index) {
  wanted = blocks[Math.min(blocks.length - 1, Math.max(0, index))];
  const block = wanted;
  await ready(block);
  if (block !== wanted) return; // the reader has gone on
  now = block;
  $('block').value = String(now.index);
  $('previous').disabled = now.index === 0;
  $('next').disabled = now.index === blocks.length - 1;
  redrawHeatmap();
  drawPanels();
  fillDetails();
  document.documentElement.dataset.block = now.name; // for tests
}

// ---- Searching and choosing classes --------------------------------------------------------------------------

const SHOWN = 400;
let found = [], current = 0;
const folded = names.map((n, c) => `${n}\n${ids[c] || ''}\n${c}`.toLowerCase());

function search() {
  const words = $('search').value.toLowerCase().split(/\s+/).filter(Boolean);
  found = [];
  for (let c = 0; c < classes; c++) if (words.every((w) => folded[c].includes(w))) found.push(c);
  current = 0;
  fillList();
}
function fillList() {
  const list = $('list');
  list.replaceChildren(...found.slice(0, SHOWN).map((c, i) => {
    const e = make('li', { role: 'option', id: `option-${c}`, 'aria-selected': String(chosen.includes(c)), 'data-class': c }, names[c]);
    if (ids[c]) e.append(' ', make('small', {}, ids[c]));
    if (i === current) e.classList.add('current');
    return e;
  }));
  $('found').textContent = found.length > SHOWN ? `${SHOWN} of ${grouped(found.length)} classes shown: search to narrow`
    : `${grouped(found.length)} class${found.length === 1 ? '' : 'es'}`;
  markCurrent(false);
}
function markCurrent(scroll) {
  const list = $('list'), e = list.children[current];
  for (const other of list.querySelectorAll('.current')) other.classList.remove('current');
  if (!e) { list.removeAttribute('aria-activedescendant'); return; }
  e.classList.add('current');
  list.setAttribute('aria-activedescendant', e.id);
  if (scroll) e.scrollIntoView({ block: 'nearest' });
}
function toggle(c) {
  const at = chosen.indexOf(c);
  if (at >= 0) chosen.splice(at, 1); else chosen.push(c);
  const e = $(`option-${c}`);
  if (e) e.setAttribute('aria-selected', String(at < 0));
  drawPanels();
  drawHeatmap();
  fillDetails();
}

// ---- Bars of the chosen classes ------------------------------------------------------------------------------

function panelOf(c, top, step, low, high) {
  const heads = columns(), width = 290, height = 120, left = 30, b = now;
  const sharedCount = heads.filter((h) => b.routes && isShared(b, h)).length, gap = sharedCount ? 6 : 0;
  const pitch = (width - left - gap) / heads.length, bar = pitch * 0.82;
  const x = (i) => left + i * pitch + (i >= sharedCount ? gap : 0);
  const order = heads.filter((h) => !b.routes || !isShared(b, h)).sort((p, q) => measure.of(c, b, q) - measure.of(c, b, p)).slice(0, 3);
  const svg = make('svg', { viewBox: `0 -6 ${width} ${height + 24}`, role: 'img',
    'aria-label': images[c] ? `Bars of ${names[c]}; highest ${measure.name}: ${order.map((h) => `${headName(b, h)} ${measure.of(c, b, h).toFixed(2)}`).join(', ')}` : `${names[c]}: no images` });
  for (let v = 0; v <= top + 1e-9; v += step) {
    const y = height * (1 - v / top);
    svg.append(make('line', { x1: left, x2: width, y1: y, y2: y, stroke: v ? 'var(--grid)' : 'var(--soft)' }),
      make('text', { x: left - 5, y: y + 3.5, 'text-anchor': 'end' }, v.toFixed(decimals(step))));
  }
  const every = [1, 2, 5, 10, 20, 50, 100].find((n) => n * pitch >= 17) || 100;
  heads.forEach((h, i) => {
    const value = images[c] ? measure.of(c, b, h) : 0, id = isShared(b, h) ? h + 1 : h - b.shared + 1;
    const fill = b.routes && isShared(b, h) ? 'var(--shared)' : shade(0.2 + 0.8 * (high > low ? (value - low) / (high - low) : 0.5));
    svg.append(make('rect', { x: x(i) + (pitch - bar) / 2, y: height * (1 - value / top), width: bar, height: (height * value) / top, fill, 'data-head': h },
      make('title', {}, `${headName(b, h)}: ${value.toFixed(4)}`)));
    const interval = measure.interval(c, b, h);
    if (interval && interval[1] > interval[0])
      svg.append(...whiskers(x(i) + pitch / 2, Math.min(pitch / 4, 3), height * (1 - interval[0] / top), height * (1 - interval[1] / top), interval[2]));
    if (every === 1 || id === 1 || (every === 2 ? id % 2 : id % every === 0))
      svg.append(make('text', { x: x(i) + pitch / 2, y: height + 13, 'text-anchor': 'middle' }, headLabel(b, h)));
  });
  if (b.routes && measure.levelName) {
    const y = height * (1 - measure.level(b) / top);
    svg.append(make('line', { x1: x(sharedCount), x2: width, y1: y, y2: y, stroke: 'var(--accent)', 'stroke-width': 1.5, 'stroke-dasharray': '5 3' }));
  }
  const remove = make('button', { type: 'button', 'aria-label': `Remove ${names[c]}` }, '×');
  remove.addEventListener('click', () => toggle(c));
  const panel = make('div', { class: 'panel', role: 'group', 'aria-label': names[c], 'data-class': c },
    make('h4', {}, make('span', {}, title(c), ' ', make('small', {}, images[c] ? `n = ${grouped(images[c])}` : '')), remove), svg);
  if (images[c]) {
    const details = make('details', {}, make('summary', {}, 'Numbers'));
    details.addEventListener('toggle', () => { if (details.open && details.children.length === 1) details.append(tableOfNumbers(c, b)); });
    panel.append(details);
  } else {
    panel.append(make('p', { class: 'note' }, 'no images'));
  }
  return panel;
}
/* From y to end; on a dark bar a line is seen by what is around it. */
function whiskers(x, cap, y, end, reliable) {
  const line = (x1, x2, y1, y2, stroke, width) => make('line', { x1, x2, y1, y2, stroke, 'stroke-width': width });
  return [['var(--paper)', 3], [reliable ? 'var(--ink)' : 'var(--shared)', 1.2]].flatMap(([stroke, width]) =>
    [line(x - cap, x + cap, y, y, stroke, width), line(x - cap, x + cap, end, end, stroke, width), line(x, x, y, end, stroke, width)]);
}
function tableOfNumbers(c, b) {
  const tokens = tokensOf(c, b), text = (i) => (i ? rangeText(i) : '–'), body = make('tbody');
  let all = 0;
  for (let h = b.shared; h < b.heads; h++) all += activeOf(c, b, h);
  for (let h = 0; h < b.heads; h++)
    body.append(make('tr', { 'data-head': h }, make('th', { scope: 'row' }, headLabel(b, h)), make('td', {}, grouped(activeOf(c, b, h))),
      make('td', {}, fixed(loadOf(c, b, h), 4)), make('td', {}, fixed(isShared(b, h) ? NaN : activeOf(c, b, h) / all, 4)), make('td', {}, fixed(gateOf(c, b, h), 4)),
      make('td', {}, fixed(gateShareOf(c, b, h), 4)), make('td', {}, text(loadInterval(c, b, h))), make('td', {}, text(gateInterval(c, b, h)))));
  return make('table', {}, make('caption', {}, `${names[c]}, block ${b.name}, ${grouped(tokens)} tokens`),
    make('thead', {}, make('tr', {}, ...['head', 'tokens', 'load', 'share', 'mean gate', 'gate share', '95 % of the load', '95 % of the gate'].map((t) => make('th', { scope: 'col' }, t)))), body);
}
const noteOf = {
  load: () => `Load of the heads of block ${now.name}, r1 being the first routed one; the dashed line is the balanced load, ${now.routed} of ${now.heads - now.shared}: ${now.balanced.toFixed(3)}.`,
  gate: () => `Mean gate of the heads of block ${now.name} over all tokens, r1 being the first routed one.`,
  'gate-share': () => `Part of each head of block ${now.name} in the gates of all its heads, r1 being the first routed one; the dashed line is an even share. Shares have no intervals.`,
};
function drawPanels() {
  const [low, high] = rangeOf(chosen, now);
  let most = Math.max(1e-3, measure.level(now) || 0);
  for (const c of chosen) {
    if (!images[c]) continue;
    for (const h of columns()) most = Math.max(most, measure.of(c, now, h), (measure.interval(c, now, h) || [0, 0])[1]);
  }
  const step = roundStep(most, 5), whole = step * Math.ceil(most / step - 1e-9), top = measure === measures.load ? Math.min(1, whole) : whole;
  $('panels').replaceChildren(...chosen.map((c) => panelOf(c, top, step, low, high)));
  $('compare-note').textContent = !chosen.length ? 'Choose classes in the list, or in the heatmap.'
    : now.routes ? `${noteOf[$('measure').value]()}${measure === measures['gate-share'] ? '' : ' Thin lines are 95 % intervals over the n images of a class, gray where few of them decide.'}`
      : `Block ${now.name} does not route: all its heads are always on.`;
}

// ---- Statistics ----------------------------------------------------------------------------------------------

/* As many decimals as tell the two apart, with two digits of what is between them. */
function decimalsFor(a, b) {
  const needed = b === null || a === b ? 0 : 1 - Math.floor(Math.log10(Math.abs(a - b)));
  return Math.min(15, Math.max(4, needed));
}
const statColumns = [
  ['block', (b) => b.name], ['shared', (b) => b.shared], ['selects', (b) => `${b.routed} of ${b.heads - b.shared}`],
  ['balanced', (b) => fixed(b.balanced, 3)], ['lowest', (b) => fixed(b.stats.load_min, 3)], ['highest', (b) => fixed(b.stats.load_max, 3)],
  ['deviation', (b) => `${fixed(100 * b.stats.load_cv, 1)} %`],
  ['entropy', (b) => `${fixed(b.stats.entropy, 3)} of ${fixed(Math.log2(b.heads - b.shared), 3)}`],
  ['divergence', (b) => fixed(b.stats.divergence, decimalsFor(b.stats.divergence, b.stats.chance))],
  ['by chance', (b) => fixed(b.stats.chance ?? NaN, decimalsFor(b.stats.divergence, b.stats.chance))], ['of two', (b) => fixed(b.stats.divergence_of_pair ?? NaN, 4)],
  ['dead heads', (b) => b.stats.dead_heads.length], ['gate of routed', (b) => `${fixed(100 * b.stats.gate_share_of_routed, 1)} %`],
];
function fillStats() {
  $('stats').tHead.replaceChildren(make('tr', {}, ...statColumns.map(([name]) => make('th', { scope: 'col' }, name))));
  $('stats').tBodies[0].replaceChildren(...routing.map((b) => {
    const row = make('tr', { 'data-block': b.name });
    statColumns.forEach(([, value], i) => {
      if (i) { row.append(make('td', {}, b.stats ? value(b) : '–')); return; }
      const button = make('button', { type: 'button' }, b.name);
      button.addEventListener('click', () => setBlock(b.index));
      row.append(make('th', { scope: 'row' }, button));
    });
    return row;
  }));
}
/* A heading that ends in a blank is of a column of text. */
function tableOf(caption, heads, lines) {
  const cell = (tag, text, i) => make(tag, { ...(tag === 'th' ? { scope: 'col' } : {}), ...(heads[i].endsWith(' ') ? { class: 'text' } : {}) }, text);
  return make('div', {}, make('table', {}, make('caption', {}, caption),
    make('thead', {}, make('tr', {}, ...heads.map((t, i) => cell('th', t.trim(), i)))),
    make('tbody', {}, ...lines.map((line) => make('tr', {}, ...line.map((t, i) => cell('td', t, i)))))));
}
function fillDetails() {
  for (const row of $('stats').tBodies[0].rows) row.setAttribute('aria-current', String(row.dataset.block === now.name));
  $('details-title').textContent = `Block ${now.name}`;
  const s = now.stats;
  if (!s) {
    $('details').replaceChildren(make('p', { class: 'note' }, now.routes ? 'No images.' : 'All heads of this block are always on: there is nothing to compare.'));
    return;
  }
  const specific = s.specific_heads.filter((h) => h.class_specific || !data.squares), parts = [];
  if (specific.length)
    parts.push(tableOf(data.squares ? 'Class-specific heads' : 'Most specific heads, which chance alone may make so',
      ['head', 'specificity', 'by chance', 'load for the class', 'mean load', 'class '], specific.slice(0, 12).map((h) => {
        const digits = decimalsFor(h.specificity, h.chance);
        return [headLabel(now, h.head), fixed(h.specificity, digits), fixed(h.chance ?? NaN, digits), fixed(h.load, 3), fixed(h.load_mean, 3), names[h.class]];
      })));
  parts.push(tableOf('All heads: means over the classes', ['head', 'load', 'mean gate', 'gate share'],
    s.means_of_heads.map((h) => [headLabel(now, h.head), fixed(h.load, 3), fixed(h.gate, 3), `${fixed(100 * h.gate_share, 1)} %`])));
  if (s.like.length) {
    // The chosen classes first, then those whose nearest is closest.
    const known = [...s.like];
    known.sort((a, b) => chosen.includes(b.class) - chosen.includes(a.class) || a.divergence - b.divergence || a.class - b.class);
    parts.push(tableOf(`The class that routes most like each, where both halves of the images agree, chosen classes first${known.length > 12 ? ' (12 shown)' : ''}`, ['class ', 'routes like ', 'divergence'],
      known.slice(0, 12).map((k) => [names[k.class], names[k.like], fixed(k.divergence, 4)])));
  }
  const facts = make('div', { class: 'facts' });
  if (s.least_alike) {
    const pair = (p) => `${names[p.a]} and ${names[p.b]} (${fixed(p.divergence, 4)} bits)`;
    const nearest = s.most_alike ? pair(s.most_alike) : 'not the same in both halves of the images';
    facts.append(make('p', {}, `Most alike: ${nearest}. Least alike: ${pair(s.least_alike)}.`));
  }
  if (!specific.length) facts.append(make('p', {}, 'No class-specific heads: classes differ no more than chance makes them.'));
  const deadFor = s.dead_for_classes.slice(0, 20).map((d) => `${headLabel(now, d.head)} for ${names[d.class]}`).join(', ');
  if (deadFor) facts.append(make('p', {}, `Dead for a class: ${deadFor}${s.dead_for_classes.length > 20 ? ` and ${s.dead_for_classes.length - 20} more` : ''}.`));
  facts.append(make('p', {}, s.dead_heads.length ? `Dead heads: ${s.dead_heads.map((h) => headLabel(now, h)).join(', ')}.` : 'No dead heads: every routed head is selected somewhere.'));
  $('details').replaceChildren(facts, ...parts);
}

async function download(which, name) {
  await Promise.all(which.map(ready));
  const url = URL.createObjectURL(csvOf(which)), link = make('a', { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

// ---- Listening ---------------------------------------------------------------------------------------------------

function listen() {
  const box = $('heatmap');
  $('block').addEventListener('change', () => setBlock(Number($('block').value)));
  $('previous').addEventListener('click', () => setBlock(wanted.index - 1));
  $('next').addEventListener('click', () => setBlock(wanted.index + 1));
  $('measure').addEventListener('change', () => { measure = measures[$('measure').value]; redrawHeatmap(); drawPanels(); });
  $('order').addEventListener('change', redrawHeatmap);
  $('shared').addEventListener('change', () => { redrawHeatmap(); drawPanels(); });
  $('row-height').addEventListener('input', () => {
    const middle = ($('heatmap').scrollTop + 200) / rowHeight;
    rowHeight = Number($('row-height').value);
    redrawHeatmap();
    box.scrollTop = middle * rowHeight - 200;
  });
  box.addEventListener('scroll', () => requestAnimationFrame(drawHeatmap));
  box.addEventListener('pointermove', (event) => {
    const at = cellAt(event);
    if (at && (at.row !== cursor.row || at.column !== cursor.column)) { cursor = at; drawHeatmap(); showCell(); }
  });
  box.addEventListener('click', (event) => { const at = cellAt(event); if (at) { cursor = at; toggle(rows[at.row]); showCell(); } });
  box.addEventListener('keydown', (event) => {
    const page = Math.max(1, Math.floor((frame.height - frame.top) / rowHeight) - 1), { row, column } = cursor;
    const moves = { ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
      PageUp: [row - page, column], PageDown: [row + page, column],
      Home: event.ctrlKey ? [0, 0] : [row, 0], End: event.ctrlKey ? [classes - 1, frame.heads.length - 1] : [row, frame.heads.length - 1] };
    if (moves[event.key]) moveTo(...moves[event.key]);
    else if (event.key === 'Enter' || event.key === ' ') toggle(rows[row]);
    else return;
    event.preventDefault();
  });
  $('search').addEventListener('input', search);
  $('search').addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown') { $('list').focus(); event.preventDefault(); }
    if (event.key === 'Enter' && found.length) toggle(found[0]);
  });
  $('list').addEventListener('click', (event) => {
    const e = event.target.closest('li');
    if (!e) return;
    current = Array.from($('list').children).indexOf(e);
    markCurrent(false);
    toggle(Number(e.dataset.class));
  });
  $('list').addEventListener('keydown', (event) => {
    const last = $('list').children.length - 1;
    const moves = { ArrowDown: current + 1, ArrowUp: current - 1, Home: 0, End: last, PageDown: current + 10, PageUp: current - 10 };
    if (event.key in moves) { current = Math.min(last, Math.max(0, moves[event.key])); markCurrent(true); }
    else if ((event.key === ' ' || event.key === 'Enter') && last >= 0) toggle(Number($('list').children[current].dataset.class));
    else return;
    event.preventDefault();
  });
  $('clear').addEventListener('click', () => { chosen.length = 0; fillList(); drawPanels(); drawHeatmap(); fillDetails(); });
  $('csv-block').addEventListener('click', () => download([now], `head-load-${now.name}.csv`));
  $('csv-all').addEventListener('click', () => download(blocks, 'head-load.csv'));
  const recolour = (name) => { setTheme(name); redrawHeatmap(); drawPanels(); };
  $('theme').addEventListener('click', () => recolour(theme === 'dark' ? 'light' : 'dark'));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', (event) => recolour(event.matches ? 'dark' : 'light'));
  let width = box.clientWidth;
  new ResizeObserver(() => { if (box.clientWidth !== width) { width = box.clientWidth; redrawHeatmap(); } }).observe(box);
}

// ---- Starting ------------------------------------------------------------------------------------------------------

/* The classes of the most specific heads say most at first sight. */
function chooseFirst() {
  const wanted = now.stats ? now.stats.specific_heads.map((h) => h.class) : [];
  for (let c = 0; c < classes && c < 3; c++) wanted.push(c);
  for (const c of wanted) if (chosen.length < 3 && !chosen.includes(c)) chosen.push(c);
}

setTheme(matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
$('block').append(...blocks.map((b) => make('option', { value: b.index }, `${b.name}: ${b.routes ? `${b.routed} of ${b.heads - b.shared} routed` : 'always on'}`)));
$('row-height').value = rowHeight;
fillSummary();
fillStats();
chooseFirst();
search();
await setBlock(now.index);
listen();
document.documentElement.dataset.ready = String(Math.round(performance.now())); // for tests: milliseconds
