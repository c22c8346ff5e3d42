// page.js - the page: what is shown, and what changes it.
import { load } from "../index.js";
import { bar, drawChart, drawCrop, drawHead, drawScale, gateColour, grouped, lightOf, make, percent, shadeOf, strongGate, wholePercent } from "./drawing.js";
import { kindOf } from "./files.js";
import { readHeadLoad } from "./head_load.js";

const $ = (id) => document.getElementById(id);
const root = document.documentElement;

// ---- What the file of the page brings along ----------------------------------------------------

function inlined(id) {
    const text = atob($(id).textContent), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++)
        bytes[i] = text.charCodeAt(i);
    return bytes;
}

const workerPlace = URL.createObjectURL(new Blob([$("worker").textContent], { type: "text/javascript" }));
const compiled = WebAssembly.compile(inlined("wasm"));
const builtIn = { name: "built in", bytes: async () => inlined("nano") };

// ---- State -------------------------------------------------------------------------------------

let source = builtIn; // {name, bytes(), config}: what the models are opened from
let models = []; // one for each picture that is shown, so that each keeps its picture when top-k changes
let steps = []; // of top-k: {setting, routed: of each block, trained}
let step = 0;
let strip = []; // pictures: {name, blob or bitmap, display}
let views = []; // one or two that are shown: {picture, answer, points: probabilities by step}
let asked = []; // those that are to be, once they are answered
let block = 0;
let head = 0;
let patch = { view: 0, row: 0, column: 0 };
let measure = "load";
let loads = null; // the head load that is shown
let builtInLoads;
let loadBlock = 0;
let camera = null;

const LIGHT_SIDE = 224; // pixels of a head's view: the patches of all published models divide it
const MOST_PICTURES = 24; // at once; the strip keeps some more
const MOST_KEPT = 32;
const QUICK_GMACS = 0.3; // larger models are not run at every top-k unasked

const theModel = () => models[0];
const blockNow = () => theModel().blocks[block];
const candidates = (b) => b.heads - b.shared;
const headName = (b, h) => (h < b.shared ? `s${h + 1}` : `r${h - b.shared + 1}`);
const side = (b) => Math.round(Math.sqrt(b.tokens));
const token = () => patch.row * side(blockNow()) + patch.column;
const letter = (i) => "AB"[i];

function say(text) {
    $("status").textContent = text;
}

function showProblem(text) {
    $("problem-text").textContent = text;
    $("problem").hidden = !text;
}

// ---- Computing ---------------------------------------------------------------------------------

let wanted = 0; // the newest request; older ones give up
let running = Promise.resolve();

const asTrained = () => steps.findIndex(({ trained }) => trained);

async function openModel({ bytes, config }) {
    return load(await bytes(), { wasm: await compiled, worker: new Worker(workerPlace), config });
}

/* The answer for a picture at a top-k. The last picture of a model is still there. */
async function answerOf(i, picture, at) {
    const own = (models[i] ??= await openModel(source));
    if ((own.step ?? asTrained()) !== at) {
        await own.setRoutedHeads(steps[at].setting);
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

/* Answers for all pictures that are asked for, which are then shown, and for every other top-k, where that is quick. A later
 * call ends it. */
function compute(started = performance.now()) {
    const mine = ++wanted;
    root.dataset.state = "working";
    running = running.then(async () => {
        if (mine !== wanted || !asked.length)
            return;
        const own = asked, at = step;
        const answers = await Promise.all(own.map(({ picture }, i) => answerOf(i, picture, at)));
        if (mine !== wanted)
            return;
        own.forEach((view, i) => {
            view.answer = answers[i];
            forgetWhole(view.picture);
            view.points.set(at, softmax(answers[i].logits));
        });
        views = own;
        showAll();
        const ms = performance.now() - started;
        root.dataset.ms = ms.toFixed(1);
        root.dataset.answers = Number(root.dataset.answers ?? 0) + 1;
        if (camera)
            return;
        say(`${own.map(saidOf).join(" ")} ${Math.round(ms)} ms from picture to answer.`);
        if (theModel().gmacs < QUICK_GMACS)
            await sweep(mine, own);
    }).catch((error) => {
        if (mine !== wanted)
            return; // of what nobody waits for any more
        showProblem(error.message);
        if (views.length)
            asked = views;
    }).finally(() => {
        if (mine === wanted)
            root.dataset.state = "ready";
    });
    return running;
}

async function sweep(mine, own) {
    for (let at = 0; at < steps.length; at++)
        for (const [i, view] of own.entries())
            if (!view.points.has(at)) {
                const { logits } = await answerOf(i, view.picture, at);
                view.points.set(at, softmax(logits));
                if (mine !== wanted)
                    return;
            }
    showAnswers();
}

function saidOf({ picture, answer: { top: [first] } }) {
    return `${picture.name}: ${first.label}, ${percent(first.probability)}.`;
}

/* 10 % to 100 % of the routed heads by the library's rule, and as trained, where that is none of these. */
function stepsOf(blocks) {
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

const stepName = ({ part, trained }) => (part ? `${part} %` : trained ? "as trained" : "");

async function useModel(next) {
    say(`Opening ${next.name} …`);
    const opened = await openModel(next);
    ++wanted;
    await running;
    models.forEach((old) => old.close());
    source = next;
    models = [opened];
    steps = stepsOf(opened.blocks);
    step = asTrained();
    views = []; // of the model before: nothing of them can be asked any more
    asked = asked.map(({ picture }) => ({ picture, points: new Map() }));
    const last = opened.blocks.findLastIndex((b) => b.tokens >= 16 && b.routed);
    block = Math.max(0, last);
    patch = { view: 0, row: side(blockNow()) >> 1, column: side(blockNow()) >> 1 };
    head = Math.min(blockNow().shared, blockNow().heads - 1);
    $("block").replaceChildren(...opened.blocks.map((b, i) => new Option(optionOf(b), i)));
    for (const picture of strip)
        picture.light = null;
    if (loads)
        followBlock();
    showModel();
    await compute();
}

function optionOf(b) {
    return `${b.name}: ${side(b)} × ${side(b)} patches`;
}

// ---- Pictures ----------------------------------------------------------------------------------

const MOST_SHOWN = 1024; // pixels of a side that are kept to be looked at

/* As the package decodes: nothing of the file's is changed on the way. */
const DECODING = { imageOrientation: "none", premultiplyAlpha: "none", colorSpaceConversion: "none" };

/* Of a large picture a smaller one is looked at; all of it is kept until the first answer, and decoded anew for another. */
async function pictureOf(blob, name) {
    try {
        const whole = await createImageBitmap(blob, DECODING), { width, height } = whole;
        const picture = { name, blob, width, height, display: whole }, part = MOST_SHOWN / Math.max(width, height);
        if (part < 1) {
            const to = (length) => Math.max(1, Math.round(length * part));
            picture.display = await createImageBitmap(whole, { resizeWidth: to(width), resizeHeight: to(height), resizeQuality: "medium" });
            picture.whole = whole;
        }
        return picture;
    } catch {
        throw new Error(`${name}: neither a picture that this browser reads, nor a checkpoint, nor a head load`);
    }
}

/* What of a picture is classified. */
function pixelsToClassify({ whole, blob, display, width, height }) {
    return whole ?? (display.width === width && display.height === height ? display : blob);
}

function forgetWhole(picture) {
    picture.whole?.close();
    delete picture.whole;
}

async function show(pictures, started) {
    asked = pictures.map((picture) => asked.find((view) => view.picture === picture) ?? { picture, points: new Map() });
    while (models.length > Math.max(1, asked.length))
        models.pop()?.close();
    patch.view = 0;
    await compute(started);
}

function remember(pictures) {
    const shown = [...views, ...asked].map(({ picture }) => picture);
    strip = [...pictures, ...strip];
    while (strip.length > MOST_KEPT)
        strip.splice(strip.findLastIndex((picture) => !shown.includes(picture) && !pictures.includes(picture)), 1)[0].display.close();
    showStrip();
}

/* The part of a picture's shorter side that the network sees (docs/specification.md, 4); null: all of both sides. */
function cropPart() {
    const { imgSize, preprocess: { crop_pct: part } } = theModel();
    if (part)
        return imgSize / Math.floor(imgSize / part);
    return imgSize >= 384 ? null : 0.875;
}

function lightOfView({ picture }) {
    return (picture.light ??= lightOf(picture.display, LIGHT_SIDE, cropPart()));
}

// ---- Files -------------------------------------------------------------------------------------

async function take(files, started = performance.now()) {
    stopCamera();
    showProblem("");
    const problems = [], pictures = [];
    let config, checkpoint;
    for (const file of files)
        try {
            const kind = await kindOf(file);
            if (kind === "config")
                config = await file.text();
            else if (kind === "checkpoint")
                checkpoint = file;
            else if (kind === "head load")
                useLoads(await readLoads(await file.arrayBuffer(), file.name));
            else if (pictures.length < MOST_PICTURES)
                pictures.push(await pictureOf(file, file.name));
            else
                throw new Error(`one more than the ${MOST_PICTURES} pictures that are taken at once`);
        } catch (error) {
            problems.push(error.message.startsWith(file.name) ? error.message : `${file.name}: ${error.message}`);
        }
    try {
        if (checkpoint)
            await useModel({ name: checkpoint.name, config, bytes: async () => new Uint8Array(await checkpoint.arrayBuffer()) });
        else if (config)
            problems.push("A config describes a checkpoint; drop both together.");
    } catch (error) {
        say("");
        problems.push(`${checkpoint.name}: ${error.message}`);
    }
    if (pictures.length) {
        pictures.slice(2).forEach(forgetWhole);
        remember(pictures);
        await show(pictures.slice(0, 2), started);
    }
    if (problems.length)
        showProblem(problems.join("\n"));
    document.dispatchEvent(new Event("taken"));
}

// ---- The camera --------------------------------------------------------------------------------

async function startCamera() {
    showProblem("");
    const video = $("video");
    try {
        camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
        return showProblem(`The camera cannot be used: ${error.message}`);
    }
    const own = camera;
    video.srcObject = camera;
    video.hidden = false;
    $("camera").setAttribute("aria-pressed", "true");
    $("camera").textContent = "Keep this picture";
    await video.play().catch(() => {});
    const picture = { name: "Camera" };
    while (camera === own) {
        const last = picture.display;
        Object.assign(picture, { display: await createImageBitmap(video), light: null, width: video.videoWidth, height: video.videoHeight });
        if (models[0])
            models[0].picture = null;
        asked = [{ picture, points: new Map() }];
        await compute();
        last?.close();
        await new Promise(requestAnimationFrame);
    }
    remember([picture]);
    if (asked.length === 1 && asked[0].picture === picture) // and not one that was chosen meanwhile
        await show([picture]);
}

function stopCamera() {
    if (!camera)
        return;
    camera.getTracks().forEach((track) => track.stop());
    camera = null;
    $("video").hidden = true;
    $("video").srcObject = null;
    $("camera").setAttribute("aria-pressed", "false");
    $("camera").textContent = "Camera";
}

// ---- The strip of pictures ---------------------------------------------------------------------

function showStrip() {
    const [first, second] = views.map(({ picture }) => picture), focus = document.activeElement?.dataset.key;
    $("strip").replaceChildren(...strip.map((picture, i) => {
        picture.thumb ??= drawCrop(make("canvas", { "aria-hidden": "true" }), picture.display, 96, 1).canvas;
        const choose = make("button", { type: "button", "aria-label": `Show ${picture.name}`, "aria-pressed": String(picture === first), "data-key": `show ${i}`, title: picture.name }, picture.thumb);
        choose.addEventListener("click", () => (stopCamera(), show([picture])));
        const compare = make("button", { type: "button", "aria-label": `vs: compare with ${picture.name}`, "aria-pressed": String(picture === second), "data-key": `vs ${i}` }, "vs");
        compare.addEventListener("click", () => {
            stopCamera();
            const one = asked[0]?.picture ?? picture;
            show(picture === second || picture === one ? [one] : [one, picture]);
        });
        return make("li", { class: picture === first ? "shown" : picture === second ? "second" : "" }, choose, compare);
    }));
    if (focus)
        $("strip").querySelector(`[data-key="${focus}"]`)?.focus({ preventScroll: true });
}

// ---- Answers and top-k -------------------------------------------------------------------------

function showAnswers() {
    if (!views.length)
        return;
    const { classes } = theModel(), trained = asTrained();
    $("answers").classList.toggle("single", views.length === 1);
    $("answers").replaceChildren(...views.map(({ picture, answer, points }, i) => {
        const canvas = make("canvas", { role: "img", "aria-label": `What the network sees of ${picture.name}` });
        drawCrop(canvas, picture.display, 380, cropPart());
        const was = step === trained ? undefined : points.get(trained);
        const top = make("ol", { class: "top", "aria-label": `Answer for ${picture.name}` }, ...answer.top.map(({ class: c, label, probability }) => {
            const track = bar(probability), before = was ? `as trained ${percent(was[c])}` : "";
            if (was) {
                const mark = make("span", { class: "was" });
                mark.style.left = `${100 * was[c]}%`;
                track.append(mark);
            }
            return make("li", { title: before, "data-class": c }, make("span", { class: "name" }, shortLabel(label)), track,
                make("span", { class: "value" }, percent(probability)));
        }));
        const lines = (was ?? points.get(step));
        const most = [...lines.keys()].sort((a, b) => lines[b] - lines[a]).slice(0, 1);
        for (const { class: c } of answer.top)
            if (!most.includes(c) && most.length < 3)
                most.push(c);
        const order = [...points.keys()].sort((a, b) => a - b);
        const chart = steps.length > 1 ? make("div", { class: "chart" }, drawChart(
            most.map((c) => ({ label: shortLabel(classes[c].label), points: order.map((at) => [at, points.get(at)[c]]) })),
            { steps: steps.length, now: step, trained, names: steps.map(stepName) })) : "";
        const which = views.length > 1 ? make("span", { class: "which" }, letter(i)) : "";
        return make("div", { class: "answer", "data-view": i }, make("h3", {}, which, picture.name, " ", make("small", {}, `${grouped(picture.width)} × ${grouped(picture.height)}`)),
            canvas, top, chart);
    }));
}

/* Without its synonyms. */
function shortLabel(label) {
    const comma = label.indexOf(",");
    return comma > 0 ? label.slice(0, comma) : label;
}

function showTopk() {
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
    $("topk-note").textContent = `Each patch picks ${text} routed heads in block ${b.name}${part ? `, about ${part} % in every block` : ""}. `
        + `${own.activeHeadsPercent.toFixed(0)} % of all heads work; a picture takes ${cost(own.gmacsRouted)} of ${cost(own.gmacs)} multiply-adds.`;
}

function cost(gmacs) {
    return gmacs >= 1 ? `${gmacs.toFixed(1)} billion` : `${(1000 * gmacs).toFixed(1)} million`;
}

// ---- Heads of a block --------------------------------------------------------------------------

const gatesOf = (view) => view.answer.gates(block);
const loadHere = (view, h) => view.answer.headTokens[block * theModel().maxHeads + h] / blockNow().tokens;
const gateHere = (view, h) => view.answer.headGateSum[block * theModel().maxHeads + h] / blockNow().tokens;

/* The gates that have the strongest tint: {shared, routed}, which are one where all heads have one scale. Pictures that are
 * compared have the same. */
function strongGates() {
    const b = blockNow(), byKind = $("tint").value === "kind" && b.routed > 0;
    const of = (chosen) => Math.max(...views.map((view) => strongGate(gatesOf(view).values.filter((_, i) => chosen(i % b.heads)))));
    return byKind ? { shared: of((h) => h < b.shared), routed: of((h) => h >= b.shared) } : { shared: of(() => true), routed: of(() => true) };
}

/* A picture or a head's view of it, with the mark of the patch. */
function viewBox(i) {
    const box = make("span", { class: "view", "data-view": i }, make("canvas", { "aria-hidden": "true" }), make("span", { class: "mark" }));
    return box;
}

let tilesFor = "";
let strongNow;
const strongFor = (h) => (h < blockNow().shared ? strongNow.shared : strongNow.routed);

function layOutHeads() {
    const b = blockNow(), key = `${theModel().variant} ${block} ${b.heads} ${views.length}`;
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

function showHeads() {
    if (!views.length)
        return;
    const b = blockNow(), strong = (strongNow = strongGates());
    layOutHeads();
    $("block").value = String(block);
    $("previous").setAttribute("aria-disabled", String(block === 0)); // a disabled button would lose the focus
    $("next").setAttribute("aria-disabled", String(block === theModel().blocks.length - 1));
    $("block-note").textContent = b.routed
        ? `${b.shared} shared ${b.shared === 1 ? "head" : "heads"}, always on; of ${candidates(b)} routed heads each of the ${side(b)} × ${side(b)} patches picks ${b.routed}.`
        : `All ${b.heads} heads work for each of the ${side(b)} × ${side(b)} patches.`;
    views.forEach((view, i) => {
        const light = lightOfView(view), gates = gatesOf(view);
        drawCrop($("patches").children[i].querySelector("canvas"), view.picture.display, 448, cropPart());
        for (const tile of $("tiles").children)
            drawHead(tile.querySelectorAll("canvas")[i], light, gates, Number(tile.dataset.head), strongFor(tile.dataset.head));
    });
    for (const tile of $("tiles").children) {
        const h = Number(tile.dataset.head), name = headName(b, h), parts = views.map((view) => wholePercent(loadHere(view, h)));
        tile.querySelector(".caption").replaceChildren(make("b", {}, name), h < b.shared ? "" : ` ${parts.join(" · ")}`);
        tile.setAttribute("aria-label", h < b.shared ? `${name}, shared head` : `${name} ${parts.join(" · ")} of the patches`);
    }
    const scales = strong.shared === strong.routed ? [["gate", strong.routed]] : [["gate of shared heads", strong.shared], ["of routed heads", strong.routed]];
    $("legend").replaceChildren(...scales.map(([what, most]) => make("span", {}, `${what} 0`, drawScale(make("canvas")), `≥ ${most.toFixed(2)}`)),
        b.routed ? make("span", {}, make("i"), "not selected") : "");
    $("tint-row").hidden = !b.routed;
    showPatch();
    showHead();
}

function showPatch() {
    if (!views.length)
        return;
    const b = blockNow(), { heads } = gatesOf(views[0]), holder = document.querySelector(".heads");
    holder.style.setProperty("--row", patch.row);
    holder.style.setProperty("--column", patch.column);
    const of = views.map((view) => gatesOf(view).values.subarray(token() * heads, (token() + 1) * heads));
    const seen = of[Math.min(patch.view, of.length - 1)];
    const picked = [...seen.keys()].filter((h) => seen[h] > 0 && h >= b.shared).map((h) => headName(b, h));
    $("patch-title").textContent = `Patch: row ${patch.row + 1}, column ${patch.column + 1}`;
    const from = views.length > 1 ? ` in ${letter(Math.min(patch.view, 1))}` : "";
    $("patch-note").textContent = picked.length ? `Picks ${listOf(picked)}${from}.` : "Takes all heads.";
    $("gates").replaceChildren(...Array.from({ length: heads }, (_, h) => {
        const bars = of.map((gates) => bar(gates[h] / (strongFor(h) || 1), gateColour(gates[h] / (strongFor(h) || 1))));
        const values = of.map((gates) => (gates[h] > 0 ? gates[h].toFixed(2) : "–"));
        return make("li", { class: `${seen[h] > 0 ? "" : "off"} ${h === head ? "now" : ""} ${h === b.shared ? "first" : ""}`, "data-head": h }, make("span", {}, headName(b, h)),
            make("span", { class: bars.length > 1 ? "pair" : "" }, ...bars), make("span", { class: "value" }, values[Math.min(patch.view, of.length - 1)]));
    }));
    for (const tile of $("tiles").children)
        tile.classList.toggle("picked", of.some((gates) => gates[tile.dataset.head] > 0));
}

function listOf(words) {
    return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`;
}

function showHead() {
    if (!views.length)
        return;
    const b = blockNow(), name = headName(b, head), shared = head < b.shared;
    for (const tile of $("tiles").children) {
        const now = Number(tile.dataset.head) === head;
        tile.setAttribute("aria-pressed", String(now));
        tile.tabIndex = now ? 0 : -1;
    }
    for (const line of $("gates").children)
        line.classList.toggle("now", Number(line.dataset.head) === head);
    $("head-title").textContent = `Head ${name} of block ${b.name}`;
    $("head-note").textContent = `${shared ? "Shared: works for every patch" : ""}${shared ? "" : views.map((view, i) =>
        `${views.length > 1 ? `${letter(i)}: p` : "P"}icked by ${grouped(Math.round(loadHere(view, head) * b.tokens))} of ${grouped(b.tokens)} patches (${wholePercent(loadHere(view, head))})`).join("; ")}; `
        + `mean gate ${views.map((view) => gateHere(view, head).toFixed(2)).join(" and ")}.`;
    showProfile();
    for (const cell of $("map").querySelectorAll("thead th[data-head]"))
        cell.classList.toggle("now", fits() && loadBlock === block && Number(cell.dataset.head) === head);
}

/* Which classes use the head, of those that use it most, and the answer's. */
function showProfile() {
    if (!views.length)
        return;
    const known = fits(), b = blockNow(), shared = head < b.shared, by = shared ? "gate" : measure;
    $("measure-row").hidden = !known || shared;
    if (!known) {
        $("profile").replaceChildren();
        $("profile-note").textContent = loads ? `The head load ${loads.name} is of another model.` : "No head load.";
        return;
    }
    const answers = views.map(({ answer }) => answer.top[0].class), value = (c) => loads.of(by, c, block, head);
    const order = [...loads.labels.keys()].filter((c) => loads.images(c) > 0).sort((a, b) => value(b) - value(a));
    const shown = order.slice(0, 10);
    for (const c of answers)
        if (!shown.includes(c) && order.includes(c))
            shown[shown.findLastIndex((one) => !answers.includes(one))] = c;
    shown.sort((a, b) => value(b) - value(a));
    const level = by === "load" ? loads.blocks[block].routed / candidates(b) : null, most = Math.max(value(order[0]), level ?? 0, 1e-9);
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
    const of = `${grouped(loads.allImages)} pictures, ${loads.name}`;
    $("profile-note").textContent = level === null ? `Mean gate of ${headName(b, head)} by class; ${of}.`
        : `Share of a class's patches that picked ${headName(b, head)}; dashed: balanced load, ${level.toFixed(2)}. ${of}. ▸ is the answer.`;
}

function askPatch(view, row, column) {
    const n = side(blockNow()), clamp = (x) => Math.min(n - 1, Math.max(0, x));
    patch = { view, row: clamp(row), column: clamp(column) };
    showPatch();
}

function askHead(h) {
    if (h === head)
        return;
    head = h;
    showHead();
}

function askBlock(index) {
    const { blocks } = theModel(), next = Math.min(blocks.length - 1, Math.max(0, index));
    if (next === block)
        return;
    const before = side(blockNow());
    block = next;
    const after = side(blockNow()), move = (at) => Math.floor((at + 0.5) * after / before);
    patch = { ...patch, row: move(patch.row), column: move(patch.column) };
    head = Math.min(blockNow().shared, blockNow().heads - 1);
    showHeads();
    showTopk();
    followBlock();
}

// ---- Head load ---------------------------------------------------------------------------------

/* Whether the head load is of a model like this one. */
function fits() {
    const { blocks, classes } = theModel();
    return Boolean(loads) && loads.labels.length === classes.length && loads.blocks.length === blocks.length
        && loads.blocks.every((b, i) => b.heads === blocks[i].heads && b.shared === blocks[i].shared && b.tokens === blocks[i].tokens);
}

/* In turn with the answers, so that the model that reads is not closed meanwhile. */
function readLoads(bytes, name) {
    const read = running.then(() => readHeadLoad(theModel(), bytes, name));
    running = read.catch(() => {});
    return read;
}

function useLoads(next) {
    loads = next;
    $("load-block").replaceChildren(...next.blocks.map((b, i) => new Option(optionOf(b), i)));
    loadBlock = Math.max(0, next.blocks.findLastIndex((b) => b.tokens >= 16 && b.routed));
    $("search").value = "";
    followBlock();
    showHead();
}

function followBlock() {
    if (fits())
        loadBlock = block;
    showMap();
}

function showMap() {
    const b = loads.blocks[loadBlock], withShared = $("shared").checked, by = b.routed ? measure : "gate";
    const heads = [...Array(b.heads).keys()].filter((h) => !b.routed || withShared || h >= b.shared);
    const word = $("search").value.trim().toLowerCase();
    const classes = [...loads.labels.keys()].filter((c) => loads.labels[c].toLowerCase().includes(word));
    const value = (c, h) => loads.of(by, c, loadBlock, h), scaled = [...loads.labels.keys()].filter((c) => loads.images(c) > 0)
        .flatMap((c) => heads.filter((h) => !b.routed || h >= b.shared).map((h) => value(c, h)));
    const low = scaled.reduce((a, x) => Math.min(a, x), Infinity), high = scaled.reduce((a, x) => Math.max(a, x), -Infinity);
    const answers = fits() ? views.map(({ answer }) => answer.top[0].class) : [];
    $("load-block").value = String(loadBlock);
    $("load-reset").hidden = loads === builtInLoads;
    $("search-row").hidden = loads.labels.length < 20;
    $("load-note").textContent = `${loads.name}: ${grouped(loads.allImages)} pictures of ${loads.labels.length} classes. `
        + (by === "load" ? `A cell is the share of the class's patches that picked the head; were all used alike, each would have ${(b.routed / candidates(b)).toFixed(2)}.`
            : "A cell is the head's mean gate over the class's patches.");
    const theme = root.dataset.theme;
    $("map").replaceChildren(make("thead", {}, make("tr", {}, make("th", { class: "text", scope: "col" }, "class"),
        ...heads.map((h) => make("th", { scope: "col", "data-head": h, class: fits() && h === head ? "now" : "" }, headName(b, h))))),
    make("tbody", {}, ...classes.map((c) => make("tr", { class: answers.includes(c) ? "answer-class" : "", "data-class": c }, make("th", { class: "text", scope: "row" }, shortLabel(loads.labels[c])),
        ...heads.map((h) => {
            if (!(loads.images(c) > 0))
                return make("td", { class: "always" }, "–");
            const cell = make("td", b.routed && h < b.shared ? { class: "always" } : {}, value(c, h).toFixed(2));
            if (!b.routed || h >= b.shared) {
                const { back, ink } = shadeOf(high > low ? (value(c, h) - low) / (high - low) : 0.5, theme);
                Object.assign(cell.style, { background: back, color: ink });
            }
            return cell;
        })))));
}

// ---- The model ---------------------------------------------------------------------------------

function showModel() {
    const own = theModel(), routing = own.blocks.filter((b) => b.routed).length;
    const facts = [["Model", own.variant], ["From", source.name], ["Classes", grouped(own.classes.length)], ["Picture", `${own.imgSize} × ${own.imgSize}`],
        ["Parameters", `${(own.parameters / 1e6).toFixed(own.parameters < 1e7 ? 2 : 0)} million`], ["Blocks", routing === own.blocks.length ? `${routing}` : `${own.blocks.length}, of which ${routing} route`]];
    $("model").replaceChildren(...facts.map(([term, fact]) => make("div", {}, make("dt", {}, term), make("dd", {}, fact))));
    $("model-reset").hidden = source === builtIn;
    $("knows").hidden = source !== builtIn;
}

function showAll() {
    showStrip();
    showAnswers();
    showTopk();
    showHeads();
    if (fits())
        showMap();
}

// ---- What people do ----------------------------------------------------------------------------

function setTheme(theme) {
    root.dataset.theme = theme;
    $("theme").setAttribute("aria-pressed", String(theme === "dark"));
    if (loads && theModel())
        showMap();
}

function listen() {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    setTheme(dark.matches ? "dark" : "light");
    dark.addEventListener("change", ({ matches }) => setTheme(matches ? "dark" : "light"));
    $("theme").addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark"));
    $("problem-close").addEventListener("click", () => showProblem(""));

    $("choose").addEventListener("click", () => $("files").click());
    $("files").addEventListener("change", ({ target }) => {
        take([...target.files]);
        target.value = "";
    });
    document.addEventListener("dragover", (event) => {
        event.preventDefault();
        document.body.classList.add("over");
    });
    document.addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || document.body.classList.remove("over"));
    document.addEventListener("drop", (event) => {
        event.preventDefault();
        document.body.classList.remove("over");
        take([...event.dataTransfer.files]);
    });
    document.addEventListener("paste", ({ clipboardData }) => clipboardData.files.length && take([...clipboardData.files]));
    $("camera").addEventListener("click", () => (camera ? stopCamera() : startCamera().catch((error) => {
        stopCamera();
        showProblem(`The camera stopped: ${error.message}`);
    })));

    const setStep = (next) => {
        if (next === step)
            return;
        step = next;
        showTopk();
        compute();
    };
    $("slider").addEventListener("input", ({ target }) => setStep(Number(target.value)));
    $("trained").addEventListener("click", () => setStep(asTrained()));

    $("block").addEventListener("change", ({ target }) => askBlock(Number(target.value)));
    $("previous").addEventListener("click", () => askBlock(block - 1));
    $("next").addEventListener("click", () => askBlock(block + 1));
    $("tint").addEventListener("change", showHeads);
    $("measure").addEventListener("change", ({ target }) => {
        measure = target.value;
        showProfile();
        showMap();
    });
    $("load-block").addEventListener("change", ({ target }) => {
        loadBlock = Number(target.value);
        if (fits())
            askBlock(loadBlock);
        showMap();
    });
    $("search").addEventListener("input", showMap);
    $("shared").addEventListener("change", showMap);
    $("load-reset").addEventListener("click", () => useLoads(builtInLoads));
    $("model-reset").addEventListener("click", () => useModel(builtIn).catch((error) => showProblem(error.message)));
    listenToHeads();
}

/* The patch under the pointer, in whatever view. */
function patchAt(event) {
    const box = event.target.closest(".view");
    if (!box)
        return null;
    const { left, top, width, height } = box.getBoundingClientRect(), n = side(blockNow());
    return { view: Number(box.dataset.view), row: Math.floor((event.clientY - top) / height * n), column: Math.floor((event.clientX - left) / width * n) };
}

function listenToHeads() {
    const point = (event) => {
        const at = views.length && patchAt(event);
        if (at && (at.view !== patch.view || at.row !== patch.row || at.column !== patch.column))
            askPatch(at.view, at.row, at.column);
    };
    const asked = (on) => $("tiles").classList.toggle("asked", on);
    for (const type of ["pointermove", "pointerdown"]) {
        $("patches").addEventListener(type, point);
        $("tiles").addEventListener(type, point);
    }
    $("patches").addEventListener("pointerenter", () => asked(true));
    $("patches").addEventListener("pointerleave", () => asked(false));
    $("patches").addEventListener("focus", () => asked(true));
    $("patches").addEventListener("blur", () => asked(false));
    $("patches").addEventListener("keydown", (event) => {
        const n = side(blockNow()), { row, column, view } = patch;
        const to = { ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
            Home: [row, 0], End: [row, n - 1], PageUp: [0, column], PageDown: [n - 1, column] }[event.key];
        if (!to)
            return;
        event.preventDefault();
        // Beyond the right edge of the first picture begins the second.
        const next = views.length > 1 && (to[1] >= n ? 1 : to[1] < 0 ? 0 : view);
        askPatch(next === false || next === view ? view : next, to[0], next !== false && next !== view ? (next ? 0 : n - 1) : to[1]);
    });

    const tileOf = (event) => event.target.closest(".tile");
    for (const type of ["pointerover", "focusin", "click"])
        $("tiles").addEventListener(type, (event) => tileOf(event) && askHead(Number(tileOf(event).dataset.head)));
    $("tiles").addEventListener("keydown", (event) => {
        const { heads } = blockNow(), across = getComputedStyle($("tiles")).gridTemplateColumns.split(" ").length;
        const to = { ArrowLeft: head - 1, ArrowRight: head + 1, ArrowUp: head - across, ArrowDown: head + across, Home: 0, End: heads - 1 }[event.key];
        if (to === undefined)
            return;
        event.preventDefault();
        if (to >= 0 && to < heads)
            $("tiles").children[to].focus();
    });
}

// ---- The beginning -----------------------------------------------------------------------------

async function begin() {
    listen();
    say("Opening the built-in model …");
    const samples = [...document.querySelectorAll("script[data-sample]")];
    strip = await Promise.all(samples.map(({ id, dataset }) => pictureOf(new Blob([inlined(id)], { type: "image/png" }), dataset.sample)));
    await useModel(builtIn);
    builtInLoads = await readLoads(inlined("head-load"), "Fashion-MNIST, built in");
    useLoads(builtInLoads);
    root.dataset.ready = Math.round(performance.now());
    if (!asked.length)
        await show([strip[0]]);
}

begin().catch((error) => showProblem(error.message));
