// head_map.js - a head load as a table: how much each class uses each head of a block.
import { shadeOf } from "./drawing.js";
import { $, grouped, make, root, shortLabel } from "./elements.js";
import { showHead } from "./heads.js";
import { blockName, candidates, fits, headName, now } from "./state.js";

let builtInLoads; // the first that was shown

export function useLoads(next) {
    builtInLoads ??= next;
    now.loads = next;
    $("load-block").replaceChildren(...next.blocks.map((b, i) => new Option(blockName(b), i)));
    now.loadBlock = Math.max(0, next.blocks.findLastIndex((b) => b.tokens >= 16 && b.routed));
    $("search").value = "";
    followBlock();
    showHead();
}

export function useBuiltInLoads() {
    useLoads(builtInLoads);
}

/** Shows the block whose heads are shown, where the head load has it. */
export function followBlock() {
    if (fits())
        now.loadBlock = now.block;
    showMap();
}

function cellOf(c, h, value, low, high) {
    const b = now.loads.blocks[now.loadBlock];
    if (!(now.loads.images(c) > 0))
        return make("td", { class: "always" }, "–");
    if (b.routed && h < b.shared)
        return make("td", { class: "always" }, value.toFixed(2));
    const cell = make("td", {}, value.toFixed(2));
    const { back, ink } = shadeOf(high > low ? (value - low) / (high - low) : 0.5, root.dataset.theme);
    Object.assign(cell.style, { background: back, color: ink });
    return cell;
}

export function showMap() {
    const { loads, loadBlock } = now;
    if (!loads)
        return;
    const b = loads.blocks[loadBlock], by = b.routed ? now.measure : "gate", all = [...loads.labels.keys()];
    const heads = [...Array(b.heads).keys()].filter((h) => !b.routed || $("shared").checked || h >= b.shared);
    const word = $("search").value.trim().toLowerCase();
    const classes = all.filter((c) => loads.labels[c].toLowerCase().includes(word));
    const value = (c, h) => loads.of(by, c, loadBlock, h);
    const scaled = all.filter((c) => loads.images(c) > 0)
        .flatMap((c) => heads.filter((h) => !b.routed || h >= b.shared).map((h) => value(c, h)));
    const low = scaled.reduce((a, x) => Math.min(a, x), Infinity), high = scaled.reduce((a, x) => Math.max(a, x), -Infinity);
    const answers = fits() ? now.views.map(({ answer }) => answer.top[0].class) : [];
    $("load-block").value = String(loadBlock);
    $("load-reset").hidden = loads === builtInLoads;
    $("search-row").hidden = loads.labels.length < 20;
    $("load-note").textContent = `${loads.name}: ${grouped(loads.allImages)} pictures of ${loads.labels.length} classes. `
        + (by === "load" ? `Each cell is the share of the class's patches that picked the head. If all heads were picked equally often, each cell would be ${(b.routed / candidates(b)).toFixed(2)}.`
            : "Each cell is the head's mean gate over the class's patches.");
    $("map").replaceChildren(make("thead", {}, make("tr", {}, make("th", { class: "text", scope: "col" }, "class"),
        ...heads.map((h) => make("th", { scope: "col", "data-head": h, class: fits() && h === now.head ? "now" : "" }, headName(b, h))))),
    make("tbody", {}, ...classes.map((c) => make("tr", { class: answers.includes(c) ? "answer-class" : "", "data-class": c },
        make("th", { class: "text", scope: "row" }, shortLabel(loads.labels[c])), ...heads.map((h) => cellOf(c, h, value(c, h), low, high))))));
}
