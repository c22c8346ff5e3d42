// answers.js - the answer for each picture: what the network sees, the five most likely classes, the answer at every top-k.
import { drawChart, drawCrop } from "./drawing.js";
import { $, bar, grouped, make, percent, shortLabel } from "./elements.js";
import { cropPart } from "./pictures.js";
import { asTrained, now, theModel } from "./state.js";
import { stepName } from "./topk.js";

export const letter = (i) => "AB"[i];

/* was: probabilities of all classes as trained, where that is another top-k. */
function topOf({ picture, answer }, was) {
    return make("ol", { class: "top", "aria-label": `Answer for ${picture.name}` }, ...answer.top.map(({ class: c, label, probability }) => {
        const track = bar(probability);
        if (was) {
            const mark = make("span", { class: "was" });
            mark.style.left = `${100 * was[c]}%`;
            track.append(mark);
        }
        return make("li", { title: was ? `as trained ${percent(was[c])}` : "", "data-class": c }, make("span", { class: "name" }, shortLabel(label)),
            track, make("span", { class: "value" }, percent(probability)));
    }));
}

/* The class that leads as trained, and those that are most likely now. */
function chartOf({ answer, points }, was) {
    const { step, steps } = now, { classes } = theModel(), lines = was ?? points.get(step);
    const shown = [lines.indexOf(Math.max(...lines))], order = [...points.keys()].sort((a, b) => a - b);
    for (const { class: c } of answer.top)
        if (!shown.includes(c) && shown.length < 3)
            shown.push(c);
    return make("div", { class: "chart" }, drawChart(
        shown.map((c) => ({ label: shortLabel(classes[c].label), points: order.map((at) => [at, points.get(at)[c]]) })),
        { steps: steps.length, now: step, trained: asTrained(), names: steps.map(stepName) }));
}

export function showAnswers() {
    const { views, step, steps } = now;
    $("answers").classList.toggle("single", views.length === 1);
    $("answers").replaceChildren(...views.map((view, i) => {
        const { picture, points } = view, was = step === asTrained() ? undefined : points.get(asTrained());
        const canvas = make("canvas", { role: "img", "aria-label": `What the network sees of ${picture.name}` });
        drawCrop(canvas, picture.display, 380, cropPart());
        return make("div", { class: "answer", "data-view": i },
            make("h3", {}, views.length > 1 ? make("span", { class: "which" }, letter(i)) : "", picture.name, " ",
                make("small", {}, `${grouped(picture.width)} × ${grouped(picture.height)}`)),
            canvas, topOf(view, was), steps.length > 1 ? chartOf(view, was) : "");
    }));
}
