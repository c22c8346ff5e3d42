// page.js - the page: how it begins, and what people do with it: files, buttons, keys, pointers.
import { startCamera, stopCamera } from "./camera.js";
import { compute, readLoads, show, useModel } from "./compute.js";
import { $, root, say, showProblem } from "./elements.js";
import { kindOf } from "./files.js";
import { followBlock, showMap, useBuiltInLoads, useLoads } from "./head_map.js";
import { askHead, askPatch, showHeads } from "./heads.js";
import { builtIn, inlined, samples } from "./inlined.js";
import { forgetWhole, pictureOf, remember } from "./pictures.js";
import { showProfile } from "./profile.js";
import { asTrained, blockNow, fits, now, side, theModel } from "./state.js";
import { showTopk } from "./topk.js";

// ---- Files -------------------------------------------------------------------------------------

const MOST_PICTURES = 24; // at once; the strip keeps some more

let beginning; // until when there is no model yet

async function take(files, started = performance.now()) {
    await beginning;
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
                throw new Error(`not shown: at most ${MOST_PICTURES} pictures are taken at once`);
        } catch (error) {
            problems.push(error.message.startsWith(file.name) ? error.message : `${file.name}: ${error.message}`);
        }
    try {
        if (checkpoint)
            await useModel({ name: checkpoint.name, config, bytes: async () => new Uint8Array(await checkpoint.arrayBuffer()) });
        else if (config)
            problems.push("A config describes a checkpoint. Drop both together.");
    } catch (error) {
        say("");
        problems.push(`${checkpoint.name}: ${error.message}`);
    }
    if (pictures.length) {
        root.dataset.decoded = (performance.now() - started).toFixed(1);
        pictures.slice(2).forEach(forgetWhole);
        remember(pictures);
        await show(pictures.slice(0, 2), started);
    }
    if (problems.length)
        showProblem(problems.join("\n"));
    document.dispatchEvent(new Event("taken"));
}

function listenToFiles() {
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
}

// ---- Buttons and settings ----------------------------------------------------------------------

function setTheme(theme) {
    root.dataset.theme = theme;
    $("theme").setAttribute("aria-pressed", String(theme === "dark"));
    showMap();
}

function listenToTheme() {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    setTheme(dark.matches ? "dark" : "light");
    dark.addEventListener("change", ({ matches }) => setTheme(matches ? "dark" : "light"));
    $("theme").addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark"));
}

/* A picture of the strip alone, or beside the one that is shown. */
function askPicture(what, picture) {
    stopCamera();
    const [first, second] = now.asked.map((view) => view.picture);
    if (what === "show")
        return show([picture]);
    return show(picture === first || picture === second ? [first] : [first, picture]);
}

function askStep(next) {
    if (next === now.step)
        return;
    now.step = next;
    showTopk();
    compute();
}

function askBlock(index) {
    const { blocks } = theModel(), next = Math.min(blocks.length - 1, Math.max(0, index));
    if (next === now.block)
        return;
    const before = side(blockNow());
    now.block = next;
    const after = side(blockNow()), move = (at) => Math.floor((at + 0.5) * after / before);
    now.patch = { ...now.patch, row: move(now.patch.row), column: move(now.patch.column) };
    now.head = Math.min(blockNow().shared, blockNow().heads - 1);
    showHeads();
    showTopk();
    followBlock();
}

function listenToSettings() {
    $("problem-close").addEventListener("click", () => showProblem(""));
    $("camera").addEventListener("click", () => (now.camera ? stopCamera() : startCamera().catch((error) => {
        stopCamera();
        showProblem(`The camera stopped: ${error.message}`);
    })));
    $("strip").addEventListener("click", ({ target }) => {
        const key = target.closest("button")?.dataset.key.split(" ");
        if (key)
            askPicture(key[0], now.strip[key[1]]);
    });
    $("slider").addEventListener("input", ({ target }) => askStep(Number(target.value)));
    $("trained").addEventListener("click", () => askStep(asTrained()));
    $("block").addEventListener("change", ({ target }) => askBlock(Number(target.value)));
    $("previous").addEventListener("click", () => askBlock(now.block - 1));
    $("next").addEventListener("click", () => askBlock(now.block + 1));
    $("tint").addEventListener("change", showHeads);
    $("measure").addEventListener("change", ({ target }) => {
        now.measure = target.value;
        showProfile();
        showMap();
    });
    $("load-block").addEventListener("change", ({ target }) => {
        now.loadBlock = Number(target.value);
        if (fits())
            askBlock(now.loadBlock);
        showMap();
    });
    $("search").addEventListener("input", showMap);
    $("shared").addEventListener("change", showMap);
    $("load-reset").addEventListener("click", useBuiltInLoads);
    $("model-reset").addEventListener("click", () => useModel(builtIn).catch((error) => showProblem(error.message)));
}

// ---- Patches and heads -------------------------------------------------------------------------

/* The patch under the pointer, in whatever view. */
function patchAt(event) {
    const box = event.target.closest(".view");
    if (!box)
        return null;
    const { left, top, width, height } = box.getBoundingClientRect(), n = side(blockNow());
    return { view: Number(box.dataset.view), row: Math.floor((event.clientY - top) / height * n), column: Math.floor((event.clientX - left) / width * n) };
}

function listenToPatches() {
    const point = (event) => {
        const at = now.views.length && patchAt(event), { patch } = now;
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
        const n = side(blockNow()), { row, column, view } = now.patch;
        const to = { ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
            Home: [row, 0], End: [row, n - 1], PageUp: [0, column], PageDown: [n - 1, column] }[event.key];
        if (!to)
            return;
        event.preventDefault();
        // Beyond the right edge of the first picture begins the second.
        const next = now.views.length < 2 ? view : to[1] >= n ? 1 : to[1] < 0 ? 0 : view;
        askPatch(next, to[0], next === view ? to[1] : next ? 0 : n - 1);
    });
}

function listenToTiles() {
    const tileOf = (event) => event.target.closest(".tile");
    for (const type of ["pointerover", "focusin", "click"])
        $("tiles").addEventListener(type, (event) => tileOf(event) && askHead(Number(tileOf(event).dataset.head)));
    $("tiles").addEventListener("keydown", (event) => {
        const { heads } = blockNow(), { head } = now, across = getComputedStyle($("tiles")).gridTemplateColumns.split(" ").length;
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
    listenToTheme();
    listenToFiles();
    now.strip = await Promise.all(samples().map(({ blob, name }) => pictureOf(blob, name)));
    await useModel(builtIn);
    useLoads(await readLoads(inlined("head-load"), "Fashion-MNIST, built in"));
    listenToSettings(); // they are about a model
    listenToPatches();
    listenToTiles();
    root.dataset.ready = Math.round(performance.now());
}

beginning = begin();
beginning.then(() => show([now.strip[0]])).catch((error) => showProblem(error.message));
