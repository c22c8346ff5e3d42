/* What was counted, and what follows from it, as vit/headload/ computes it. */

const $ = (id) => document.getElementById(id);

// ---- Packets: deflated, then base64 ----------------------------------------------------------------------------

async function packet(id) {
  const text = atob($(id).textContent), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Response(inflated).arrayBuffer();
}

const data = JSON.parse(new TextDecoder().decode(await packet('data')));
const quantiles = new Float64Array(await packet('quantiles')); // of Student's t, by class
const { names, ids, images, shown, blocks } = data; // shown: the classes that have pictures
const classes = names.length;
blocks.forEach((b, i) => { b.index = i; b.name = `${b.stage}.${b.block}`; b.stats = b.routes ? b : null; });
const routing = blocks.filter((b) => b.routes);

/* Arrays of whole numbers, one after the other, as put_numbers() of tools/figures/report.c writes them. */
function arraysIn(buffer) {
  const bytes = new Uint8Array(buffer), view = new DataView(buffer);
  let at = 0;
  return (count) => {
    const numbers = new Float64Array(count), lowest = Number(view.getBigInt64(at, true)), width = bytes[at + 8];
    at += 9;
    for (let k = width - 1; k >= 0; k--)
      for (let i = 0; i < count; i++) numbers[i] = numbers[i] * 256 + bytes[at + k * count + i];
    if (lowest) for (let i = 0; i < count; i++) numbers[i] += lowest;
    at += width * count;
    return numbers;
  };
}
/* About what squares of n whole numbers with this sum add up to at least. */
function leastSquares(sum, n) {
  if (n < 1 || sum >= 2 ** 53) return 0;
  const rest = sum % n, each = (sum - rest) / n, product = each * (sum + rest);
  return product < 2 ** 53 ? product : 0;
}
async function unpack(b) {
  const next = arraysIn(await packet(`block-${b.name}`)), cells = b.heads * classes;
  const counted = { active: next(cells), gate: next(cells) };
  if (data.squares) {
    counted.activeSquares = next(cells).map((more, i) => more + leastSquares(counted.active[i], images[i % classes]));
    const unit = b.tokens * 2 ** 4; // of an image's mean gate in the units of its squares
    counted.gateSquares = next(cells).map((more, i) =>
      more + leastSquares((counted.gate[i] - (counted.gate[i] % unit)) / unit, images[i % classes]));
  }
  counted.order = b.routes ? next(shown.length) : null;
  b.counted = counted;
}
/* What follows is of blocks that are ready. */
const ready = (b) => (b.promise = b.promise || unpack(b));

/* The heads that it was counted without, as tools/program/head_load_choice.c says it; '': none. */
const without = data.provenance.dropped_heads ? `counted without ${data.provenance.dropped_heads}, whose gates are 0${
  data.provenance.renormalise ? '; gates renormalised' : ''}` : '';

// ---- Measures --------------------------------------------------------------------------------------------------

const tokensOf = (c, b) => images[c] * b.tokens;
const at = (c, h) => h * classes + c;
const activeOf = (c, b, h) => b.counted.active[at(c, h)];
const loadOf = (c, b, h) => activeOf(c, b, h) / tokensOf(c, b);
const gateSumOf = (c, b, h) => b.counted.gate[at(c, h)] / 2 ** 20;
const gateOf = (c, b, h) => gateSumOf(c, b, h) / tokensOf(c, b);
function gateShareOf(c, b, h) {
  let all = 0;
  for (let k = 0; k < b.heads; k++) all += gateSumOf(c, b, k);
  return gateSumOf(c, b, h) / all;
}
const isShared = (b, h) => h < b.shared;

// ---- Intervals -------------------------------------------------------------------------------------------------

/* As vit/headload/interval.c: [low, high, reliable], or null where there is none. */
function errorSquare(n, sum, squares) {
  const variance = (squares - (sum * sum) / n) / (n - 1);
  return variance > 0 ? variance / n : 0;
}
function further(mean, half, k, shrink) {
  const centre = (mean + k / 2) / shrink, score = Math.sqrt(half * half + (k * k) / 4) / shrink;
  return [Math.min(mean - half, centre - score), Math.max(mean + half, centre + score)];
}
const manyCount = (sum, squares) => sum * sum >= 10 * squares && sum > 0;
const hasIntervals = (c) => data.squares && images[c] > 1;
function loadInterval(c, b, h) {
  if (!hasIntervals(c)) return null;
  if (h < b.shared || !b.routes) return [1, 1, true];
  const n = images[c], sum = activeOf(c, b, h), squares = b.counted.activeSquares[at(c, h)];
  const load = sum / n / b.tokens, half = (quantiles[c] * Math.sqrt(errorSquare(n, sum, squares))) / b.tokens;
  const k = half > 0 ? (half * half) / (load * (1 - load)) : 0, [low, high] = further(load, half, k, 1 + k);
  const reliable = manyCount(sum, squares) && manyCount(n * b.tokens - sum, n * b.tokens * b.tokens - 2 * b.tokens * sum + squares);
  return [Math.max(0, low), Math.min(1, high), reliable];
}
function gateInterval(c, b, h) {
  if (!hasIntervals(c)) return null;
  const n = images[c], sum = gateSumOf(c, b, h) / b.tokens, t = quantiles[c];
  const squares = b.counted.gateSquares[at(c, h)] / 2 ** 32, gate = sum / n;
  const half = gate > 0 ? t * Math.sqrt(errorSquare(n, sum, squares)) : 0, [low, high] = further(gate, half, gate > 0 ? (half * half) / gate : 0, 1);
  return [Math.max(0, low), high, manyCount(sum, squares)];
}

/* level: where the line is, as in tools/figures/figure.c. */
const measures = {
  load: { name: 'load', of: loadOf, interval: loadInterval, level: (b) => b.balanced, levelName: 'balanced' },
  gate: { name: 'gate', of: gateOf, interval: gateInterval, level: () => NaN },
  'gate-share': { name: 'gate share', of: gateShareOf, interval: () => null, level: (b) => 1 / b.heads, levelName: 'even' },
};
/* What the absence of a head alone costs: { loss, top1 }, each [change, low, high, p]; null where it is not known. */
const ablationOf = (b, h) => (b.importance ? b.importance[h] : null);
const title = (c) => { const n = names[c].indexOf(','); return n > 0 ? names[c].slice(0, n) : names[c]; };

// ---- CSV, as `mohvit headload export --csv` prints it -----------------------------------------------------------

/* printf's %.9g. A number half way between two of nine digits goes to the even one there, to the larger one in
 * toExponential; all its digits are looked at, since counts make such numbers often (1/1024). */
function nine(x) {
  if (!Number.isFinite(x)) return '';
  if (x === 0) return '0';
  const exact = x.toExponential(60), half = /^5(?!.*[1-9])/.test(exact.slice(10).split('e')[0]);
  const even = Number(exact[9]) % 2 === 0;
  const y = half && even ? Number(`${exact.slice(0, 10)}e${exact.split('e')[1]}`) : x;
  const [digits, exponent] = y.toExponential(8).split('e'), e = Number(exponent);
  const trim = (t) => (t.includes('.') ? t.replace(/\.?0+$/, '') : t);
  if (e < -4 || e >= 9) return `${trim(digits)}e${e < 0 ? '-' : '+'}${String(Math.abs(e)).padStart(2, '0')}`;
  return trim(y.toFixed(8 - e));
}
// What base/utf8.h says steers a terminal or turns the direction of text, and the backslash that marks its bytes.
const unsafe = new RegExp('[\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069\\\\]', 'g');
function field(text) {
  const hex = (byte) => `\\x${byte.toString(16).padStart(2, '0')}`;
  const safe = text.replace(unsafe, (ch) => (ch === '\\' ? '\\\\' : Array.from(new TextEncoder().encode(ch), hex).join('')));
  return /[",]|^ /.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}
function csvOf(which) {
  const parts = ['class,id,label,stage,block,head,kind,tokens,active,load,share,gate,' +
    'images,load_low,load_high,load_reliable,gate_low,gate_high,gate_reliable,gate_share\n'];
  const interval = (i) => (i ? `${nine(i[0])},${nine(i[1])},${Number(i[2])}` : ',,');
  for (let c = 0; c < classes; c++) {
    const lines = [], start = `${c},${field(ids[c] || '')},${field(names[c])}`;
    for (const b of which) {
      const tokens = tokensOf(c, b);
      let all = 0;
      for (let h = b.shared; h < b.heads; h++) all += activeOf(c, b, h);
      for (let h = 0; h < b.heads; h++) {
        const n = activeOf(c, b, h);
        lines.push(`${start},${b.stage},${b.block},${h},${isShared(b, h) ? 'shared' : 'routed'},${tokens},${n},${nine(n / tokens)},${nine(isShared(b, h) ? NaN : n / all)},${nine(gateSumOf(c, b, h) / tokens)},${images[c]},${interval(loadInterval(c, b, h))},${interval(gateInterval(c, b, h))},${nine(gateShareOf(c, b, h))}\n`);
      }
    }
    parts.push(lines.join(''));
  }
  return new Blob(parts, { type: 'text/csv' });
}
