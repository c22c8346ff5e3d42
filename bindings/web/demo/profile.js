// profile.js - which classes use a head, by the head load that is shown.
import { $, bar, grouped, make, shortLabel } from "./elements.js";
import { blockNow, candidates, fits, headName, now } from "./state.js";

const MOST_CLASSES = 10;

/* Those that use it most, and the answers, by falling use. */
function classesToShow(value, answers) {
    const { loads } = now, byUse = (a, b) => value(b) - value(a);
    const counted = [...loads.labels.keys()].filter((c) => loads.images(c) > 0).sort(byUse), shown = counted.slice(0, MOST_CLASSES);
    for (const c of answers)
        if (!shown.includes(c) && counted.includes(c))
            shown[shown.findLastIndex((one) => !answers.includes(one))] = c;
    return shown.sort(byUse);
}

export function showProfile() {
    const { views, loads, block, head } = now;
    if (!views.length)
        return;
    const known = fits(), b = blockNow(), shared = head < b.shared, by = shared ? "gate" : now.measure;
    $("measure-row").hidden = !known || shared;
    if (!known) {
        $("profile").replaceChildren();
        $("profile-note").textContent = loads ? `The head load ${loads.name} belongs to another model.` : "No head load.";
        return;
    }
    const answers = views.map(({ answer }) => answer.top[0].class), value = (c) => loads.of(by, c, block, head);
    const shown = classesToShow(value, answers), level = by === "load" ? loads.blocks[block].routed / candidates(b) : null;
    const most = Math.max(...shown.map(value), level ?? 0, 1e-9);
    $("profile").replaceChildren(...shown.map((c) => {
        const track = bar(value(c) / most);
        if (level !== null) {
            const line = make("span", { class: "level" });
            line.style.left = `${100 * level / most}%`;
            track.append(line);
        }
        return make("li", { class: answers.includes(c) ? "answer-class" : "", "data-class": c }, make("span", { class: "name" }, shortLabel(loads.labels[c])), track,
            make("span", { class: "value" }, value(c).toFixed(2)));
    }));
    const from = `Counted over ${grouped(loads.allImages)} pictures: ${loads.name}. ▸ marks the answer.`;
    $("profile-note").textContent = level === null ? `Mean gate of ${headName(b, head)} by class. ${from}`
        : `Share of a class's patches that picked ${headName(b, head)}. The dashed line is the balanced load, ${level.toFixed(2)}. ${from}`;
}
