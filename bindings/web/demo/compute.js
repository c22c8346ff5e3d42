// compute.js - asks the models: answers for pictures at a top-k, and shows them; another model; head loads to be read.
import { showAnswers } from "./answers.js";
import { $, grouped, make, percent, root, say, showProblem } from "./elements.js";
import { followBlock, showMap } from "./head_map.js";
import { readHeadLoad } from "./head_load.js";
import { showHeads } from "./heads.js";
import { builtIn, openModel } from "./inlined.js";
import { forgetWhole, pixelsToClassify, showStrip } from "./pictures.js";
import { asTrained, blockName, blockNow, fits, now, side, theModel } from "./state.js";
import { showTopk, stepsOf } from "./topk.js";

const QUICK_GMACS = 0.3; // larger models are not run at every top-k unasked

let wanted = 0; // the newest request; older ones give up
let running = Promise.resolve();

/* The answer for a picture at a top-k. The last picture of a model is still there. */
async function answerOf(i, picture, at) {
    const own = (now.models[i] ??= await openModel(now.source));
    if ((own.step ?? asTrained()) !== at) {
        await own.setRoutedHeads(now.steps[at].setting);
        own.step = at;
    }
    const answer = await own.classify(own.picture === picture ? undefined : pixelsToClassify(picture), { top: 5 });
    own.picture = picture;
    return answer;
}

function softmax(logits) {
    const most = Math.max(...logits), parts = Float64Array.from(logits, (x) => Math.exp(x - most));
    const sum = parts.reduce((a, b) => a + b);
    return parts.map((x) => x / sum);
}

/* Once the next frame is drawn. Where the page is not seen none is, and there is no need to wait for it. */
function drawn() {
    return new Promise((resolve) => {
        requestAnimationFrame(() => setTimeout(resolve));
        setTimeout(resolve, 100);
    });
}

function showRest() {
    showStrip();
    showHeads();
    if (fits())
        showMap();
}

/** Answers for all pictures that are asked for, which are then shown, and for every other top-k, where that is quick. A later
 * call ends it. */
export function compute(started = performance.now()) {
    const mine = ++wanted, took = () => (performance.now() - started).toFixed(1);
    root.dataset.state = "working";
    running = running.then(async () => {
        if (mine !== wanted || !now.asked.length)
            return;
        const own = now.asked, at = now.step;
        const answers = await Promise.all(own.map(({ picture }, i) => answerOf(i, picture, at)));
        if (mine !== wanted)
            return;
        own.forEach((view, i) => {
            view.answer = answers[i];
            forgetWhole(view.picture);
            view.points.set(at, softmax(answers[i].logits));
        });
        now.views = own;
        root.dataset.answered = took();
        showAnswers(); // what was asked for comes first, and in the next frame what explains it
        showTopk();
        root.dataset.ms = took();
        root.dataset.answers = Number(root.dataset.answers ?? 0) + 1;
        if (!now.camera)
            say(`${own.map(saidOf).join(" ")} ${Math.round(root.dataset.ms)} ms from picture to answer.`);
        await drawn();
        root.dataset.drawn = took();
        showRest();
        if (!now.camera && theModel().gmacs < QUICK_GMACS)
            await sweep(mine, own);
    }).catch((error) => {
        if (mine !== wanted)
            return; // of what nobody waits for any more
        showProblem(error.message);
        if (now.views.length)
            now.asked = now.views;
        showRest();
    }).finally(() => {
        if (mine === wanted)
            root.dataset.state = "ready";
    });
    return running;
}

async function sweep(mine, own) {
    for (let at = 0; at < now.steps.length; at++)
        for (const [i, view] of own.entries())
            if (!view.points.has(at)) {
                if (mine !== wanted)
                    return;
                const { logits } = await answerOf(i, view.picture, at);
                view.points.set(at, softmax(logits));
            }
    if (mine === wanted)
        showAnswers();
}

function saidOf({ picture, answer: { top: [first] } }) {
    return `${picture.name}: ${first.label}, ${percent(first.probability)}.`;
}

/** Shows one picture or two. */
export async function show(pictures, started) {
    const { models } = now;
    now.asked = pictures.map((picture) => now.asked.find((view) => view.picture === picture) ?? { picture, points: new Map() });
    while (models.length > Math.max(1, now.asked.length))
        models.pop()?.close();
    now.patch.view = 0;
    await compute(started);
}

/** In turn with the answers, so that the model that reads is not closed meanwhile. */
export function readLoads(bytes, name) {
    const read = running.then(() => readHeadLoad(theModel(), bytes, name));
    running = read.catch(() => {});
    return read;
}

// ---- The model ---------------------------------------------------------------------------------

let newest = 0; // model that was asked for: one that was asked for before may be open later

/** next: {name, bytes(), config}. */
export async function useModel(next) {
    const mine = ++newest;
    say(`Opening ${next.name} …`);
    const opened = await openModel(next);
    if (mine === newest) {
        ++wanted;
        await running;
    }
    if (mine !== newest)
        return opened.close();
    now.models.forEach((old) => old.close());
    now.source = next;
    now.models = [opened];
    now.steps = stepsOf(opened.blocks);
    now.step = asTrained();
    now.views = []; // of the model before: nothing of them can be asked any more
    now.asked = now.asked.map(({ picture }) => ({ picture, points: new Map() }));
    now.block = Math.max(0, opened.blocks.findLastIndex((b) => b.tokens >= 16 && b.routed));
    const middle = side(blockNow()) >> 1;
    now.patch = { view: 0, row: middle, column: middle };
    now.head = Math.min(blockNow().shared, blockNow().heads - 1);
    $("block").replaceChildren(...opened.blocks.map((b, i) => new Option(blockName(b), i)));
    for (const picture of now.strip)
        picture.light = null;
    if (now.loads)
        followBlock();
    showModel();
    await compute();
}

function showModel() {
    const own = theModel(), routing = own.blocks.filter((b) => b.routed).length;
    const facts = [["Model", own.variant], ["From", now.source.name], ["Classes", grouped(own.classes.length)], ["Picture", `${own.imgSize} × ${own.imgSize}`],
        ["Parameters", `${(own.parameters / 1e6).toFixed(own.parameters < 1e7 ? 2 : 0)} million`], ["Blocks", routing === own.blocks.length ? `${routing}` : `${own.blocks.length}, ${routing} with a router`],
        ["Threads", own.threads]];
    $("model").replaceChildren(...facts.map(([term, fact]) => make("div", {}, make("dt", {}, term), make("dd", {}, fact))));
    $("model-reset").hidden = now.source === builtIn;
    $("knows").hidden = now.source !== builtIn;
}
