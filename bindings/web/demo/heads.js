// heads.js - the heads of a block: what each does with the picture, the gates of a patch, the head that is asked for.
import { letter } from "./answers.js";
import { drawCrop, drawHead, drawScale, gateColour, strongGate } from "./drawing.js";
import { $, bar, grouped, listOf, make, wholePercent } from "./elements.js";
import { cropPart, lightOfPicture } from "./pictures.js";
import { showProfile } from "./profile.js";
import { blockNow, candidates, fits, headName, now, side, theModel } from "./state.js";

const gatesOf = (view) => view.answer.gates(now.block);
const loadHere = (view, h) => view.answer.headTokens[now.block * theModel().maxHeads + h] / blockNow().tokens;
const gateHere = (view, h) => view.answer.headGateSum[now.block * theModel().maxHeads + h] / blockNow().tokens;

/* The gates that have the strongest tint: {shared, routed}, which are one where all heads have one scale. Pictures that are
 * compared have the same. */
function strongGates() {
    const b = blockNow(), byKind = $("tint").value === "kind" && b.routed > 0;
    const of = (chosen) => Math.max(...now.views.map((view) => strongGate(gatesOf(view).values.filter((_, i) => chosen(i % b.heads)))));
    return byKind ? { shared: of((h) => h < b.shared), routed: of((h) => h >= b.shared) } : { shared: of(() => true), routed: of(() => true) };
}

let strongNow;
const strongFor = (h) => (h < blockNow().shared ? strongNow.shared : strongNow.routed);

// ---- Their views -------------------------------------------------------------------------------

/* A picture or a head's view of it, with the mark of the patch. */
function viewBox(i) {
    return make("span", { class: "view", "data-view": i }, make("canvas", { "aria-hidden": "true" }), make("span", { class: "mark" }));
}

let tilesFor = "";

function layOut() {
    const b = blockNow(), { views } = now, key = `${theModel().variant} ${now.block} ${b.heads} ${views.length}`;
    $("tiles").style.setProperty("--wide", Math.max(3, Math.ceil(Math.sqrt(b.heads * views.length) * 1.15)));
    $("tiles").style.setProperty("--narrow", b.heads > 8 ? 5 : 4);
    document.querySelector(".heads").style.setProperty("--patch", `${100 / side(b)}%`);
    if (key === tilesFor)
        return;
    tilesFor = key;
    $("patches").classList.toggle("two", views.length > 1);
    $("patches").replaceChildren(...views.map((_, i) => viewBox(i)));
    $("tiles").replaceChildren(...Array.from({ length: b.heads }, (_, h) =>
        make("button", { type: "button", class: "tile", "data-head": h, tabindex: -1 },
            make("span", { class: "views" }, ...views.map((_, i) => viewBox(i))), make("span", { class: "caption" }))));
}

function showBlock() {
    const b = blockNow();
    $("block").value = String(now.block);
    $("previous").setAttribute("aria-disabled", String(now.block === 0)); // a disabled button would lose the focus
    $("next").setAttribute("aria-disabled", String(now.block === theModel().blocks.length - 1));
    $("block-note").textContent = b.routed
        ? `${b.shared} shared ${b.shared === 1 ? "head is" : "heads are"} always on. Each of the ${side(b)} × ${side(b)} patches picks ${b.routed} of ${candidates(b)} routed heads.`
        : `All ${b.heads} heads work for each of the ${side(b)} × ${side(b)} patches.`;
    $("tint-row").hidden = !b.routed;
}

function showLegend() {
    const { shared, routed } = strongNow;
    const scales = shared === routed ? [["gate", routed]] : [["gate of shared heads", shared], ["of routed heads", routed]];
    $("legend").replaceChildren(...scales.map(([what, most]) => make("span", {}, `${what} 0`, drawScale(make("canvas")), `≥ ${most.toFixed(2)}`)),
        blockNow().routed ? make("span", {}, make("i"), "not picked") : "");
}

export function showHeads() {
    const { views } = now;
    if (!views.length)
        return;
    const b = blockNow();
    strongNow = strongGates();
    layOut();
    showBlock();
    views.forEach((view, i) => {
        const light = lightOfPicture(view.picture), gates = gatesOf(view);
        drawCrop($("patches").children[i].querySelector("canvas"), view.picture.display, 448, cropPart());
        for (const tile of $("tiles").children)
            drawHead(tile.querySelectorAll("canvas")[i], light, gates, Number(tile.dataset.head), strongFor(tile.dataset.head));
    });
    for (const tile of $("tiles").children) {
        const h = Number(tile.dataset.head), name = headName(b, h), parts = views.map((view) => wholePercent(loadHere(view, h)));
        tile.querySelector(".caption").replaceChildren(make("b", {}, name), h < b.shared ? "" : ` ${parts.join(" · ")}`);
        tile.setAttribute("aria-label", h < b.shared ? `${name}, shared head` : `${name} ${parts.join(" · ")} of the patches`);
    }
    showLegend();
    showPatch();
    showHead();
}

// ---- A patch -----------------------------------------------------------------------------------

export function showPatch() {
    const { views, patch, head } = now;
    if (!views.length)
        return;
    const b = blockNow(), { heads } = gatesOf(views[0]), holder = document.querySelector(".heads");
    holder.style.setProperty("--row", patch.row);
    holder.style.setProperty("--column", patch.column);
    const token = patch.row * side(b) + patch.column, asked = Math.min(patch.view, views.length - 1);
    const of = views.map((view) => gatesOf(view).values.subarray(token * heads, (token + 1) * heads)), seen = of[asked];
    const picked = [...seen.keys()].filter((h) => seen[h] > 0 && h >= b.shared).map((h) => headName(b, h));
    $("patch-title").textContent = `Patch: row ${patch.row + 1}, column ${patch.column + 1}`;
    const from = views.length > 1 ? ` in ${letter(asked)}` : "";
    $("patch-note").textContent = picked.length ? `Picks ${listOf(picked)}${from}.` : "Uses all heads.";
    $("gates").replaceChildren(...Array.from({ length: heads }, (_, h) => {
        const bars = of.map((gates) => bar(gates[h] / (strongFor(h) || 1), gateColour(gates[h] / (strongFor(h) || 1))));
        const values = of.map((gates) => (gates[h] > 0 ? gates[h].toFixed(2) : "–"));
        return make("li", { class: `${seen[h] > 0 ? "" : "off"} ${h === head ? "now" : ""} ${h === b.shared ? "first" : ""}`, "data-head": h }, make("span", {}, headName(b, h)),
            make("span", { class: bars.length > 1 ? "pair" : "" }, ...bars), make("span", { class: "value" }, values[asked]));
    }));
    for (const tile of $("tiles").children)
        tile.classList.toggle("picked", of.some((gates) => gates[tile.dataset.head] > 0));
}

export function askPatch(view, row, column) {
    const n = side(blockNow()), clamp = (x) => Math.min(n - 1, Math.max(0, x));
    now.patch = { view, row: clamp(row), column: clamp(column) };
    showPatch();
}

// ---- A head ------------------------------------------------------------------------------------

function useOf(view, i) {
    const b = blockNow(), load = loadHere(view, now.head), p = now.views.length > 1 ? `${letter(i)}: p` : "P";
    return `${p}icked by ${grouped(Math.round(load * b.tokens))} of ${grouped(b.tokens)} patches (${wholePercent(load)})`;
}

export function showHead() {
    const { views, head } = now;
    if (!views.length)
        return;
    const b = blockNow();
    for (const tile of $("tiles").children) {
        const mine = Number(tile.dataset.head) === head;
        tile.setAttribute("aria-pressed", String(mine));
        tile.tabIndex = mine ? 0 : -1;
    }
    for (const line of $("gates").children)
        line.classList.toggle("now", Number(line.dataset.head) === head);
    $("head-title").textContent = `Head ${headName(b, head)} of block ${b.name}`;
    $("head-note").textContent = `${head < b.shared ? "Shared: works for every patch" : views.map(useOf).join("; ")}; `
        + `mean gate ${views.map((view) => gateHere(view, head).toFixed(2)).join(" and ")}.`;
    showProfile();
    for (const cell of $("map").querySelectorAll("thead th[data-head]"))
        cell.classList.toggle("now", fits() && now.loadBlock === now.block && Number(cell.dataset.head) === head);
}

export function askHead(h) {
    if (h === now.head)
        return;
    now.head = h;
    showHead();
}
