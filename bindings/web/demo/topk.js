// topk.js - the settings of top-k: how many routed heads each patch picks, and what that costs.
import { $ } from "./elements.js";
import { blockNow, candidates, now, theModel } from "./state.js";

/** 10 % to 100 % of the routed heads by the library's rule, and as trained, where that is none of these:
 * [{setting, routed: of each block, part: percent, trained}]. None where no block has a choice. */
export function stepsOf(blocks) {
    if (blocks.every((b) => candidates(b) === 0))
        return [];
    const trained = { setting: null, routed: blocks.map((b) => b.routed), trained: true };
    const found = [trained];
    for (let part = 10; part <= 100; part += 10) {
        const routed = blocks.map((b) => (candidates(b) ? Math.max(1, Math.floor((part * candidates(b) + 50) / 100)) : 0));
        const same = found.find((one) => one.routed.join() === routed.join());
        if (same)
            same.part ??= part;
        else
            found.push({ setting: `${part}%`, routed, part });
    }
    const sum = ({ routed }) => routed.reduce((a, b, i) => a + b * blocks[i].tokens, 0);
    return found.sort((a, b) => sum(a) - sum(b));
}

export const stepName = ({ part, trained }) => (part ? `${part} %` : trained ? "as trained" : "");

function cost(gmacs) {
    return gmacs >= 1 ? `${gmacs.toFixed(1)} billion` : `${(1000 * gmacs).toFixed(1)} million`;
}

export function showTopk() {
    const { steps, step, block } = now;
    $("topk").hidden = steps.length < 2;
    if (steps.length < 2)
        return;
    const { routed, trained, part } = steps[step], own = theModel(), b = blockNow(), slider = $("slider");
    slider.max = String(steps.length - 1);
    slider.value = String(step);
    const text = b.routed ? `${routed[block]} of ${candidates(b)}` : "–";
    $("topk-value").textContent = text;
    slider.setAttribute("aria-valuetext", `${text} in block ${b.name}${trained ? ", as trained" : ""}`);
    $("trained").setAttribute("aria-pressed", String(Boolean(trained)));
    const every = part ? `about ${part} % in every block` : "";
    const here = b.routed ? `In block ${b.name}, each patch picks ${text} routed heads` : "";
    $("topk-note").textContent = `${here && every ? `${here}; ${every}` : here || `Each patch picks ${every || "routed heads as trained"}`}. `
        + `${own.activeHeadsPercent.toFixed(0)} % of all heads work. A picture takes ${cost(own.gmacsRouted)} multiply-adds; `
        + `with all heads, ${cost(own.gmacs)}.`;
}
