/* The page of `mohvit headload report`. What came from files reaches the page as text alone: through textContent,
 * attributes and the canvas, never as markup. */

// ---- State ---------------------------------------------------------------------------------------------------

let now = routing[routing.length - 1] || blocks[blocks.length - 1]; // whose numbers are ready
let wanted = now;
let measure = measures.load;
let rows = []; // the classes in the order of the heatmap
let rowHeight = shown.length <= 30 ? 22 : shown.length <= 120 ? 14 : 4;
let cursor = { row: 0, column: 0 };
const chosen = [];

const columns = () => {
  const all = [];
  for (let h = $('shared').checked || !now.routes ? 0 : now.shared; h < now.heads; h++) all.push(h);
  return all;
};

function orderRows() {
  const kind = $('order').value, all = Array.from(shown);
  if (kind === 'similarity' && now.routes)
    rows = Array.from(now.counted.order);
  else if (kind === 'name')
    rows = all.sort((a, b) => names[a].localeCompare(names[b]) || a - b);
  else
    rows = all;
}

function rangeOf(list, b) {
  let low = Infinity, high = -Infinity;
  for (const c of list)
    for (let h = b.routes ? b.shared : 0; h < b.heads; h++) {
      const value = measure.of(c, b, h);
      if (value < low) low = value;
      if (value > high) high = value;
    }
  return low <= high ? [low, high] : [0, 1];
}

// ---- Summary -------------------------------------------------------------------------------------------------

function sourceName(s) {
  const from = s.source || (Array.isArray(s.prefixes) ? s.prefixes.map((p) => p.replace(/#$/, '')).join(' ') : '') || JSON.stringify(s);
  return `${from}${s.shard ? `, part ${s.shard}` : ''}`;
}
function fillSummary() {
  const empty = classes - shown.length;
  const add = (term, text, wide) => {
    if (text === undefined || text === null || text === '') return;
    $('summary').append(make('div', wide ? { class: 'wide' } : {}, make('dt', {}, term), make('dd', {}, text)));
  };
  add('Model', data.model);
  add('Images', grouped(images.reduce((a, b) => a + b, 0)));
  add('Classes', `${grouped(shown.length)}${empty ? `; ${grouped(empty)} without images ${empty === 1 ? 'is' : 'are'} left out` : ''}`);
  add('Active heads', `${+data.activePercent.toFixed(2)} %`);
  add('Blocks that route', `${routing.length} of ${blocks.length}`);
  add('Heads of a block', `up to ${Math.max(...blocks.map((b) => b.heads))}`);
  if (!data.squares) add('Intervals', 'none: counted by 0.1');
  add('Counted by', data.provenance.counted_by);
  const { dropped_heads: dropped, renormalise } = data.provenance;
  if (without) $('subtitle').textContent += `, ${without}`;
  if (dropped) add('Counted without', `${dropped}${renormalise ? ', gates renormalised' : ''}`);
  add('mohvit', data.provenance.version);
  if (data.ablated) add('Ablated', `each head alone, n = ${grouped(data.ablated.images)}`);
  if (data.pictures) add('Pictures', make('a', { href: data.pictures }, 'which use each head most'));
  add('File', data.file, true);
  add('Data', data.sources.map(sourceName).join(', '), true);
  add('Weights (XXH3-128)', data.provenance.weights_hash, true);
}

// ---- Heatmap -------------------------------------------------------------------------------------------------

let frame = null; // where things are on the canvas
function view() {
  const [low, high] = rangeOf(rows, now);
  return { block: now, measure, heads: columns(), rows, scale: scaleOf(low, high), orderName: $('order').selectedOptions[0].text };
}
function layOut() {
  const box = $('heatmap'), f = framed(view(), box.clientWidth, rowHeight), full = f.top + rows.length * rowHeight + 6;
  frame = { ...f, height: Math.min(full, 620) };
  $('spacer').style.height = `${full}px`;
  box.style.height = `${frame.height + 2}px`;
}
function drawHeatmap() {
  const canvas = $('canvas'), ratio = window.devicePixelRatio || 1, scroll = $('heatmap').scrollTop;
  const { width, height, top, cell } = frame;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const g = canvas.getContext('2d'), on = onCanvas(g);
  g.scale(ratio, ratio);
  on.rect(0, 0, width, height, colours.paper);
  g.save();
  g.beginPath();
  g.rect(0, top, width, height - top);
  g.clip();
  const first = Math.max(0, Math.floor(scroll / rowHeight)), last = Math.min(rows.length, Math.ceil((scroll + height - top) / rowHeight));
  drawRows(on, frame, first, last, top + first * rowHeight - scroll, chosen);
  g.strokeStyle = colours.accent;
  g.lineWidth = 2;
  g.strokeRect(frame.x(cursor.column) - 0.5, top + cursor.row * rowHeight - scroll - 0.5, cell, Math.max(rowHeight, 3));
  g.restore();
  drawHeadNames(on, frame);
}
function drawLegend() {
  const level = make('div', { class: 'level' }, levelText(frame));
  $('legend').replaceChildren(make('div', {}, measure.name), legendOf(frame), level);
}

function describeCell() {
  const c = rows[cursor.row], h = frame.heads[cursor.column];
  if (c === undefined || h === undefined) return '';
  const who = `${names[c]}${ids[c] ? ` (${ids[c]})` : ''}, class ${c}, block ${now.name}, ${headName(now, h)}`;
  const tokens = grouped(tokensOf(c, now)), interval = measure.interval(c, now, h);
  const range = interval ? `, 95 % of the ${measure.name} ${rangeText(interval)}` : '';
  const without = ablationOf(now, h), cost = without ? `, loss of all classes without it ${changeText(without.loss)}` : '';
  return `${who}, n = ${grouped(images[c])}: load ${loadOf(c, now, h).toFixed(4)} (${grouped(activeOf(c, now, h))} of ${tokens} tokens)${range}${cost}, gate share ${gateShareOf(c, now, h).toFixed(4)}, gate ${gateOf(c, now, h).toFixed(4)}`;
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
  fillCells();
}
/* What the heatmap shows, while its table is open: many classes make a long one. */
function fillCells() {
  if (!$('cells').open) return;
  const f = frame;
  const table = make('table', {}, make('caption', {}, `${f.measure.name} of the heads of block ${now.name} by class, ${f.orderName}`),
    make('thead', {}, make('tr', {}, make('th', { scope: 'col', class: 'text' }, 'class'), make('th', { scope: 'col' }, 'n'),
      ...f.heads.map((h) => make('th', { scope: 'col' }, headLabel(now, h))))),
    make('tbody', {}, ...f.rows.map((c) => make('tr', {}, make('th', { scope: 'row', class: 'text' }, names[c]), make('td', {}, grouped(images[c])),
      ...f.heads.map((h) => make('td', {}, f.measure.of(c, now, h).toFixed(4)))))));
  $('cells').replaceChildren($('cells').firstElementChild, scrolling(`${f.measure.name} of the heads by class`, table));
}
/* Where a table may be wider than the page, or longer. */
const scrolling = (label, ...children) => tellOfMore(make('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': label }, ...children));
/* Whether there is more to see, and beyond which edges. */
function tellOfMore(box) {
  const look = () => {
    const wide = box.scrollWidth - box.clientWidth > 1, tall = box.scrollHeight - box.clientHeight > 1, more = [];
    if (wide && box.scrollLeft > 1) more.push('left');
    if (wide && box.scrollLeft + box.clientWidth < box.scrollWidth - 1) more.push('right');
    box.dataset.more = more.join(' ');
    box.dataset.scrolls = wide && tall ? 'both' : wide ? 'wide' : tall ? 'tall' : '';
  };
  box.addEventListener('scroll', look);
  new ResizeObserver(look).observe(box);
  return box;
}

function moveTo(row, column) {
  const box = $('heatmap');
  cursor = { row: Math.min(rows.length - 1, Math.max(0, row)), column: Math.min(frame.heads.length - 1, Math.max(0, column)) };
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
  if (y < frame.top || row < 0 || row >= rows.length) return null;
  for (let i = 0; i < frame.heads.length; i++)
    if (x >= frame.x(i) && x < frame.x(i) + frame.cell) return { row, column: i };
  return x < frame.left ? { row, column: cursor.column } : null;
}

function setTheme(name) {
  setColours(name);
  $('theme').setAttribute('aria-pressed', String(name === 'dark'));
  redrawHeatmap();
  drawPanels();
}

// ---- Choosing a block ----------------------------------------------------------------------------------------

async function setBlock(index) {
  wanted = blocks[Math.min(blocks.length - 1, Math.max(0, index))];
  const block = wanted;
  await ready(block);
  if (block !== wanted) return; // the reader has gone on
  now = block;
  $('block').value = String(now.index);
  $('previous').setAttribute('aria-disabled', String(now.index === 0)); // disabled ones would lose the focus
  $('next').setAttribute('aria-disabled', String(now.index === blocks.length - 1));
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
  found = shown.filter((c) => words.every((w) => folded[c].includes(w)));
  current = 0;
  fillList();
}
function fillList() {
  const list = $('list');
  list.replaceChildren(...found.slice(0, SHOWN).map((c, i) => {
    const e = make('li', { role: 'option', id: `option-${c}`, 'aria-selected': String(chosen.includes(c)), 'data-class': c }, names[c]);
    e.append(' ', make('small', {}, `${ids[c] ? `${ids[c]}, ` : ''}${imagesText(c)}`));
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

const opened = new Set(); // classes whose numbers are

function panelOf(c, all) {
  const remove = make('button', { type: 'button', 'aria-label': `Remove ${names[c]}` }, '×');
  remove.addEventListener('click', () => {
    const at = chosen.indexOf(c);
    toggle(c);
    ($('panels').children[Math.min(at, chosen.length - 1)]?.querySelector('button') || $('search')).focus();
  });
  const details = make('details', {}, make('summary', { 'aria-label': `Numbers of ${title(c)}` }, 'Numbers'));
  const fillIn = () => {
    if (details.open) opened.add(c); else opened.delete(c);
    if (details.open && details.children.length === 1) details.append(scrolling(`Numbers of ${title(c)}`, tableOfNumbers(c, now)));
  };
  details.open = opened.has(c);
  fillIn();
  details.addEventListener('toggle', fillIn);
  return make('div', { class: 'panel', role: 'group', 'aria-label': names[c], 'data-class': c },
    make('h3', {}, make('span', {}, title(c), ' ', make('small', {}, imagesText(c))), remove), barsOf(all, c), details);
}
function changesPanel(all) {
  const { svg, unit } = changesOf(all), name = changesTitle(unit);
  return make('div', { class: 'without', role: 'group', 'aria-label': name },
    make('h3', {}, make('span', {}, name, ' ', make('small', {}, changesCount()))), svg);
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
    make('thead', {}, make('tr', {}, ...['head', 'tokens', 'load', 'share', 'gate', 'gate share', '95 % of the load', '95 % of the gate'].map((t) => make('th', { scope: 'col' }, t)))), body);
}
const noteOf = {
  load: () => `Load of the heads of block ${now.name}; the dashed line is the balanced load, ${now.routed} of ${now.heads - now.shared}: ${now.balanced.toFixed(3)}.`,
  gate: () => `Gate of the heads of block ${now.name}: the mean over all tokens. A token that did not select the head counts as 0.`,
  'gate-share': () => `Gate share of the heads of block ${now.name}; the dashed line is an even share. Gate shares have no intervals.`,
};
const intervalNote = 'Thin lines are 95 % intervals over the n images of a class; they are dashed where few of the images decide.';

/* What all panels have in common. */
function barsView() {
  const [low, high] = rangeOf(chosen, now), all = { ...view(), intervals: $('intervals').checked, low, high };
  let most = Math.max(1e-3, measure.level(now) || 0);
  for (const c of chosen)
    for (const h of all.heads)
      most = Math.max(most, measure.of(c, now, h), (all.intervals && measure.interval(c, now, h) || [0, 0])[1]);
  const step = roundStep(most, 5), whole = step * Math.ceil(most / step - 1e-9);
  return { ...all, step, top: measure === measures.load ? Math.min(1, whole) : whole };
}
function noteText() {
  if (!chosen.length) return 'Choose classes in the list, or in the heatmap.';
  if (!now.routes) return `Block ${now.name} does not route: all its heads are always on.`;
  const some = $('intervals').checked && measure !== measures['gate-share'] && data.squares;
  return `${noteOf[$('measure').value]()}${some ? ` ${intervalNote}` : ''}`;
}
function drawPanels() {
  const all = barsView();
  $('panels').replaceChildren(...chosen.map((c) => panelOf(c, all)), ...(now.importance ? [changesPanel(all)] : []));
  $('compare-note').textContent = noteText();
  $('chosen').textContent = chosen.length ? `${plural(chosen.length, 'class', 'classes')}: ${chosen.map(title).join('; ')}` : 'No class chosen';
  for (const id of ['bars-svg', 'bars-png']) $(id).disabled = !chosen.length && !now.importance;
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
  ['divergence', (b) => fixed(b.stats.classes > 1 ? b.stats.divergence : NaN, decimalsFor(b.stats.divergence, b.stats.chance))],
  ['by chance', (b) => fixed(b.stats.chance ?? NaN, decimalsFor(b.stats.divergence, b.stats.chance))], ['of two', (b) => fixed(b.stats.divergence_of_pair ?? NaN, 4)],
  ['dead heads', (b) => b.stats.dead_heads.length], ['gate of routed', (b) => `${fixed(100 * b.stats.gate_share_of_routed, 1)} %`],
];
function fillStats() {
  $('stats').tHead.replaceChildren(make('tr', {}, ...statColumns.map(([name]) => make('th', { scope: 'col' }, name))));
  $('stats').tBodies[0].replaceChildren(...routing.map((b) => {
    const row = make('tr', { 'data-block': b.name });
    statColumns.forEach(([, value], i) => {
      if (i) { row.append(make('td', {}, value(b))); return; }
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
  return scrolling(caption, make('table', {}, make('caption', {}, caption),
    make('thead', {}, make('tr', {}, ...heads.map((t, i) => cell('th', t.trim(), i)))),
    make('tbody', {}, ...lines.map((line) => make('tr', {}, ...line.map((t, i) => cell('td', t, i)))))));
}
/* To the pictures that use the head most, where there is a page of them. */
function headLink(h) {
  const label = headLabel(now, h);
  return data.pictures && now.routes && !isShared(now, h) ? make('a', { href: `${data.pictures}#${now.name}-${label}` }, label) : label;
}
/* means: of the classes; null: none. */
function tableOfHeads(means) {
  const known = now.importance, heads = means || Array.from({ length: now.heads }, (_, head) => ({ head }));
  const names = ['head', ...(means ? ['load', 'gate', 'gate share'] : []),
    ...(known ? ['loss without it', '95 % of the loss', 'p (Holm)', 'top-1 without it', '95 % of top-1'] : [])];
  const costs = (h) => {
    const of = ablationOf(now, h);
    if (!of) return ['–', '–', '–', '–', '–'];
    const p = of.loss[3], percent = (v) => signed(v, 2);
    return [signed(of.loss[0]), changeRange(of.loss), p === null ? '–' : `${p.toPrecision(2)}${p < 0.05 ? ' *' : ''}`,
      `${percent(of.top1[0])} %`, of.top1[1] === null ? '–' : `${percent(of.top1[1])} to ${percent(of.top1[2])} %`];
  };
  const caption = [...(means ? ['means over the classes'] : []), ...(known ? [`changes without the head alone, ${changesCount()}`] : [])].join('; ');
  return tableOf(`All heads: ${caption}`, names, heads.map((h) => [headLink(h.head),
    ...(means ? [fixed(h.load, 3), fixed(h.gate, 3), `${fixed(100 * h.gate_share, 1)} %`] : []), ...(known ? costs(h.head) : [])]));
}
function fillDetails() {
  for (const row of $('stats').tBodies[0].rows) row.setAttribute('aria-current', String(row.dataset.block === now.name));
  $('details-title').textContent = `Block ${now.name}`;
  const s = now.stats;
  if (!s) {
    const note = make('p', { class: 'note' }, 'All heads of this block are always on: there is nothing to compare.');
    $('details').replaceChildren(note, ...(now.importance ? [tableOfHeads(null)] : []));
    return;
  }
  const specific = s.specific_heads.filter((h) => h.class_specific || !data.squares), parts = [];
  if (specific.length)
    parts.push(tableOf(data.squares ? 'Class-specific heads' : 'Most specific heads; chance alone may make them so',
      ['head', 'specificity', 'by chance', 'load for the class', 'mean load', 'class '], specific.slice(0, 12).map((h) => {
        const digits = decimalsFor(h.specificity, h.chance);
        return [headLink(h.head), fixed(h.specificity, digits), fixed(h.chance ?? NaN, digits), fixed(h.load, 3), fixed(h.load_mean, 3), names[h.class]];
      })));
  parts.push(tableOfHeads(s.means_of_heads));
  if (s.like.length) {
    // The chosen classes first, then those whose nearest is closest.
    const known = [...s.like];
    known.sort((a, b) => chosen.includes(b.class) - chosen.includes(a.class) || a.divergence - b.divergence || a.class - b.class);
    parts.push(tableOf(`For each class, the one that routes most like it, if both halves of the images agree; chosen classes first${known.length > 12 ? ' (12 shown)' : ''}`, ['class ', 'routes like ', 'divergence'],
      known.slice(0, 12).map((k) => [names[k.class], names[k.like], fixed(k.divergence, 4)])));
  }
  const facts = make('div', { class: 'facts' });
  if (s.least_alike) {
    const pair = (p) => `${names[p.a]} and ${names[p.b]} (${fixed(p.divergence, 4)} bits)`;
    const nearest = s.most_alike ? pair(s.most_alike) : 'not the same in both halves of the images';
    facts.append(make('p', {}, `Most alike: ${nearest}. Least alike: ${pair(s.least_alike)}.`));
  }
  if (!specific.length && s.classes > 1) facts.append(make('p', {}, 'No class-specific heads: classes differ no more than by chance.'));
  const deadFor = s.dead_for_classes.slice(0, 20).map((d) => `${headLabel(now, d.head)} for ${names[d.class]}`).join(', ');
  if (deadFor) facts.append(make('p', {}, `Dead for a class: ${deadFor}${s.dead_for_classes.length > 20 ? ` and ${s.dead_for_classes.length - 20} more` : ''}.`));
  facts.append(make('p', {}, s.dead_heads.length ? `Dead heads: ${s.dead_heads.map((h) => headLabel(now, h)).join(', ')}.` : 'No dead heads: every routed head is selected somewhere.'));
  $('details').replaceChildren(facts, ...parts);
}

// ---- Files ---------------------------------------------------------------------------------------------------

const stem = data.file.replace(/\.safetensors$/, '').replace(/[^\p{L}\p{N}._-]+/gu, '_');

function save(blob, name) {
  const url = URL.createObjectURL(blob), link = make('a', { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  $('saved').textContent = `Saved ${name}`;
}
async function saveCsv(which, name) {
  await Promise.all(which.map(ready));
  save(csvOf(which), name);
}
async function savePicture(svg, name, format) {
  save(format === 'svg' ? svgFile(svg) : await pngFile(svg), `${stem}-${now.name}-${$('measure').value}-${name}.${format}`);
}
const wholeHeatmap = () => heatmapPicture(frame, Math.max(600, frame.width + 84), rowHeight, 0, rows.length);
const allBars = () => barsPicture(barsView(), chosen, noteText());

// ---- Paper ---------------------------------------------------------------------------------------------------

/* On paper the heatmap is whole, its rows have names, and all is light. */
const PAPER = { width: 700, height: 740 }; // of rows: with their headings a page of A4, or of Letter
let themeOfScreen = '';
function toPaper() {
  if (themeOfScreen) return;
  themeOfScreen = theme;
  setColours('light');
  drawPanels();
  const height = Math.max(rowHeight, 9), each = Math.floor(PAPER.height / height), pictures = [];
  for (let first = 0; first < rows.length; first += each)
    pictures.push(heatmapPicture(frame, PAPER.width, height, first, Math.min(first + each, rows.length)));
  $('paper').replaceChildren(...pictures);
  $('terms').open = true;
}
function toScreen() {
  $('paper').replaceChildren();
  $('terms').open = false;
  setTheme(themeOfScreen);
  themeOfScreen = '';
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
      Home: event.ctrlKey ? [0, 0] : [row, 0], End: event.ctrlKey ? [rows.length - 1, frame.heads.length - 1] : [row, frame.heads.length - 1] };
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
  $('csv-block').addEventListener('click', () => saveCsv([now], `${stem}-${now.name}.csv`));
  $('csv-all').addEventListener('click', () => saveCsv(blocks, `${stem}.csv`));
  for (const format of ['svg', 'png']) {
    $(`heatmap-${format}`).addEventListener('click', () => savePicture(wholeHeatmap(), 'heatmap', format));
    $(`bars-${format}`).addEventListener('click', () => savePicture(allBars(), 'bars', format));
  }
  $('cells').addEventListener('toggle', fillCells);
  $('intervals').addEventListener('change', drawPanels);
  const system = matchMedia('(prefers-color-scheme: dark)');
  let follows = true; // until the reader says otherwise
  $('theme').addEventListener('click', () => { follows = false; setTheme(theme === 'dark' ? 'light' : 'dark'); });
  system.addEventListener('change', () => { if (follows && !themeOfScreen) setTheme(system.matches ? 'dark' : 'light'); });
  window.addEventListener('beforeprint', toPaper);
  window.addEventListener('afterprint', toScreen);
  let width = box.clientWidth;
  new ResizeObserver(() => { if (box.clientWidth && box.clientWidth !== width) { width = box.clientWidth; redrawHeatmap(); } }).observe(box);
}

// ---- Starting ------------------------------------------------------------------------------------------------------

/* The classes of the most specific heads say most at first sight. */
function chooseFirst() {
  const wanted = now.stats ? now.stats.specific_heads.map((h) => h.class) : [];
  for (const c of [...wanted, ...shown]) if (chosen.length < 3 && !chosen.includes(c)) chosen.push(c);
}

setColours(matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
$('theme').setAttribute('aria-pressed', String(theme === 'dark'));
$('block').append(...blocks.map((b) => make('option', { value: b.index }, `${b.name}: ${b.routes ? `${b.routed} of ${b.heads - b.shared} routed` : 'always on'}`)));
$('row-height').value = rowHeight;
fillSummary();
fillStats();
tellOfMore(document.querySelector('#stats').parentElement);
chooseFirst();
search();
await setBlock(now.index);
listen();
document.documentElement.dataset.ready = String(Math.round(performance.now())); // for tests: milliseconds
