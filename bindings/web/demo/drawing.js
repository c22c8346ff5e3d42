// drawing.js - what a head does with a picture, drawn as `mohvit routes` does (tools/figures/route_picture.c); colours of
// loads as in the report; the lines of the answer by top-k.
import { make, percent, wholePercent } from "./elements.js";

// ---- Pictures and gates ------------------------------------------------------------------------

/** What the network sees of a picture: a square in its middle, part of the shorter side, with black around it where that is
 * above 1; or, where part is null, all of it, made square. */
export function drawCrop(canvas, bitmap, side, part) {
    canvas.width = canvas.height = side;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const { width, height } = bitmap, [w, h] = part === null ? [width, height] : [Math.min(width, height) * part, Math.min(width, height) * part];
    context.imageSmoothingQuality = "high";
    context.fillRect(0, 0, side, side);
    context.drawImage(bitmap, (width - w) / 2, (height - h) / 2, w, h, 0, 0, side, side);
    return context;
}

/** The light of each pixel of a crop, 0 … 1: luma of ITU-R BT.601. */
export function lightOf(bitmap, side, part) {
    const { data } = drawCrop(document.createElement("canvas"), bitmap, side, part).getImageData(0, 0, side, side);
    return Float32Array.from({ length: side * side }, (_, i) =>
        (0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]) / 255);
}

/* Of a gate, 0 … 1 of the strong one: from cream to vermilion (Okabe and Ito 2008). */
function tintOf(gate) {
    const t = Math.min(1, Math.max(0, gate));
    return [1 - 0.165 * t, 0.93 - 0.56 * t, 0.72 - 0.72 * t];
}

export function gateColour(gate) {
    return `rgb(${tintOf(gate).map((part) => Math.round(255 * part)).join(",")})`;
}

/** All but a fiftieth of the selected gates are at most this: a few may be ten times the others. */
export function strongGate(gates) {
    const selected = gates.filter((gate) => gate > 0).sort();
    return selected.length ? selected[Math.floor((selected.length - 1) * 49 / 50)] : 0;
}

/* Of each pixel the patch that it lies in. */
const patchMaps = new Map();
function patchMap(side, across) {
    const key = side * 4096 + across;
    if (!patchMaps.has(key))
        patchMaps.set(key, Uint16Array.from({ length: side * side }, (_, i) =>
            Math.floor(Math.floor(i / side) * across / side) * across + Math.floor(i % side * across / side)));
    return patchMaps.get(key);
}

/** A head's view: the patches that picked it have the picture's light and the tint of their gate, the others are dark. */
export function drawHead(canvas, light, { heads, side: across, values }, head, strong) {
    const side = Math.sqrt(light.length), map = patchMap(side, across);
    canvas.width = canvas.height = side;
    const context = canvas.getContext("2d"), image = context.createImageData(side, side), { data } = image;
    const tints = Array.from({ length: across * across }, (_, token) => {
        const gate = values[token * heads + head];
        return gate > 0 ? tintOf(strong > 0 ? gate / strong : 0) : null;
    });
    for (let i = 0; i < light.length; i++) {
        const tint = tints[map[i]];
        // Black parts keep some light, or a dark picture would show no gate.
        const shine = 255 * (tint ? 0.45 + 0.55 * light[i] : 0.05 + 0.22 * light[i]);
        for (let k = 0; k < 3; k++)
            data[4 * i + k] = tint ? shine * tint[k] : shine;
        data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
}

/** The scale of gates, for a legend. */
export function drawScale(canvas) {
    canvas.width = 90;
    canvas.height = 1;
    const context = canvas.getContext("2d");
    for (let x = 0; x < 90; x++) {
        context.fillStyle = gateColour(x / 89);
        context.fillRect(x, 0, 1, 1);
    }
    return canvas;
}

// ---- Loads -------------------------------------------------------------------------------------

/* One hue whose lightness goes one way; on dark paper the other way around. */
const RAMPS = {
    light: [[222, 235, 247], [198, 219, 239], [158, 202, 225], [107, 174, 214], [66, 146, 198], [33, 113, 181], [8, 81, 156], [8, 48, 107]],
    dark: [[24, 36, 52], [18, 54, 92], [20, 78, 136], [36, 108, 176], [74, 144, 204], [124, 180, 224], [176, 210, 238], [222, 236, 248]],
};

function luminance(rgb) {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** The shade of 0 … 1, and what can be read on it. */
export function shadeOf(part, theme) {
    const stops = RAMPS[theme], at = Math.min(1, Math.max(0, part)) * (stops.length - 1);
    const k = Math.min(Math.floor(at), stops.length - 2);
    const rgb = stops[k].map((v, j) => Math.round(v + (at - k) * (stops[k + 1][j] - v)));
    return { back: `rgb(${rgb.join(",")})`, ink: luminance(rgb) > 0.179 ? "#000" : "#fff" };
}

// ---- The answer by top-k -----------------------------------------------------------------------

/** Lines of probability over the steps of top-k. lines: [{label, points: [[step, probability], …]}]. */
export function drawChart(lines, { steps, now, trained, names }) {
    const width = 340, height = 104, left = 34, right = 92, x = (step) => left + (steps > 1 ? step / (steps - 1) : 0) * (width - left - right);
    const y = (probability) => height * (1 - probability), colours = ["var(--action)", "var(--accent)", "var(--soft)"];
    const said = lines.map(({ label, points }) => {
        const at = points.find(([step]) => step === now);
        return at ? `${label} ${percent(at[1])}` : label;
    });
    const svg = make("svg", { viewBox: `0 -12 ${width} ${height + 42}`, role: "img", "aria-label": `Answer by routed heads; at ${names[now]}: ${said.join(", ")}` });
    for (const part of [0, 0.5, 1])
        svg.append(make("line", { x1: left, x2: width - right, y1: y(part), y2: y(part), stroke: "var(--grid)" }),
            make("text", { x: left - 6, y: y(part) + 4, "text-anchor": "end" }, wholePercent(part)));
    svg.append(make("line", { x1: x(now), x2: x(now), y1: -6, y2: height, stroke: "var(--ink)", "stroke-width": 1.2 }));
    if (trained >= 0 && steps > 1)
        svg.append(make("path", { d: `M ${x(trained)} ${height + 3} l 4 6 h -8 z`, fill: "var(--soft)" }));
    const ends = lines.map(({ points }) => y(points[points.length - 1]?.[1] ?? 0));
    const order = [...ends.keys()].sort((a, b) => ends[a] - ends[b]);
    order.forEach((line, i) => { // names that would lie on each other move down, and all up again at the foot
        if (i)
            ends[line] = Math.max(ends[line], ends[order[i - 1]] + 12);
    });
    order.reduceRight((below, line) => (ends[line] = Math.min(ends[line], below)) - 12, height + 2);
    lines.forEach(({ label, points }, i) => {
        svg.append(make("path", { d: points.map(([step, p], k) => `${k ? "L" : "M"} ${x(step).toFixed(1)} ${y(p).toFixed(1)}`).join(" "),
            fill: "none", stroke: colours[i], "stroke-width": i ? 1.5 : 2.2, "stroke-linejoin": "round" }));
        for (const [step, p] of points)
            if (step === now || points.length < 3)
                svg.append(make("circle", { cx: x(step), cy: y(p), r: 3.4, fill: colours[i] }));
        const text = make("text", { x: width - right + 8, y: ends[i] + 4 }, label.length > 14 ? `${label.slice(0, 13)}…` : label);
        text.style.fill = colours[i];
        svg.append(text);
    });
    const middle = left + (width - left - right) / 2;
    svg.append(make("text", { x: left, y: height + 26, "text-anchor": "start" }, names[0]),
        make("text", { x: middle, y: height + 26, "text-anchor": "middle" }, steps > 1 ? "routed heads" : ""),
        make("text", { x: width - right, y: height + 26, "text-anchor": "end" }, steps > 1 ? names[steps - 1] : ""));
    return svg;
}
