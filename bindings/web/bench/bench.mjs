// bench.mjs - measures both engines, each time in a process or page of its own, and prints a table.
// Usage: node bench.mjs PACKAGE MODELS ROUNDS [RUNS]
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { dirname, extname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const [folder, models, rounds, runs] = process.argv.slice(2);
const runtime = join(here, "node_modules/onnxruntime-web");
const MODELS = [{ name: "built-in", file: "nano", size: 64, runs: 200 }, { name: "S-75", file: "small", size: 224, runs: 5 }];
const TIMEOUT = 300_000;

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

// ---- Node ----------------------------------------------------------------------------------------

const inNode = {
    name: `node ${process.versions.node}`,
    places: {
        mohvit: join(folder, "index.js"), onnxruntime: join(runtime, "dist/ort.node.min.mjs"),
        model: (file) => join(models, file),
    },
    measure(job) {
        return JSON.parse(execFileSync(process.execPath, [join(here, "node.mjs"), JSON.stringify(job)],
            { encoding: "utf8", timeout: TIMEOUT, stdio: ["ignore", "pipe", "inherit"] }));
    },
};

// ---- Chromium ------------------------------------------------------------------------------------

const TYPES = { ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".html": "text/html" };
const ROOTS = { package: folder, onnxruntime: join(runtime, "dist"), models, bench: here };
const PAGE = `<!doctype html><script type="module">
    import { measure } from "/bench/measure.js";
    let answer;
    try {
        answer = await measure(JSON.parse(decodeURIComponent(location.hash.slice(1))));
    } catch (error) {
        answer = { error: String(error) };
    }
    await fetch("/answer", { method: "POST", body: JSON.stringify(answer) });
</script>`;

/* With the headers that make a page cross-origin isolated, so that it may share memory. */
function serve(take) {
    const server = createServer((request, response) => {
        const { pathname } = new URL(request.url, "http://localhost"), [, root, ...rest] = pathname.split("/");
        const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
        if (request.method === "POST") {
            let body = "";
            request.on("data", (part) => body += part).on("end", () => response.end() && take(JSON.parse(body)));
        } else if (pathname === "/") {
            response.writeHead(200, { ...headers, "Content-Type": TYPES[".html"] }).end(PAGE);
        } else if (Object.hasOwn(ROOTS, root) && !rest.includes("..")) {
            const type = TYPES[extname(pathname)] ?? "application/octet-stream";
            response.writeHead(200, { ...headers, "Content-Type": type }).end(readFileSync(join(ROOTS[root], ...rest)));
        } else {
            response.writeHead(404, headers).end();
        }
    });
    return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

/* Chromium's helpers outlive it by a moment, and write there. */
async function remove(profile) {
    for (let tries = 0; ; tries++)
        try {
            return rmSync(profile, { recursive: true, force: true });
        } catch (error) {
            if (tries === 50)
                throw error;
            await delay(100);
        }
}

let take;
const server = await serve((answer) => take(answer));
const chromium = execFileSync("chromium", ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
const inChromium = {
    name: chromium.match(/Chromium \d+/)[0],
    places: {
        mohvit: "/package/index.js", onnxruntime: "/onnxruntime/ort.wasm.min.mjs",
        model: (file) => new URL(`/models/${file}`, `http://127.0.0.1:${server.address().port}`).href,
    },
    async measure(job) {
        const profile = mkdtempSync(join(tmpdir(), "mohvit-bench-"));
        const url = `http://127.0.0.1:${server.address().port}/#${encodeURIComponent(JSON.stringify(job))}`;
        const browser = spawn("chromium", ["--headless", "--no-sandbox", "--disable-gpu", `--user-data-dir=${profile}`, url],
            { stdio: "ignore" });
        const ended = new Promise((resolve) => browser.on("exit", resolve));
        let timer;
        try {
            const answer = await new Promise((resolve, reject) => {
                take = resolve;
                timer = setTimeout(() => reject(new Error("Chromium does not answer")), TIMEOUT);
            });
            if (answer.error)
                throw new Error(answer.error);
            return answer;
        } finally {
            clearTimeout(timer);
            browser.kill();
            await ended;
            await remove(profile);
        }
    },
};

// ---- Both ----------------------------------------------------------------------------------------

const cores = availableParallelism();
/* Where both engines compute, and on how many threads at most: in a page's own thread, which may not sleep, mohvit has no
 * helpers. */
const SETTINGS = [
    { ...inNode, worker: false, most: cores },
    { ...inChromium, name: `${inChromium.name}, in the page`, worker: false, most: 1 },
    { ...inChromium, name: `${inChromium.name}, in a Worker`, worker: true, most: cores },
];

const ms = (value) => value < 100 ? value.toFixed(1) : value.toFixed(0);

async function compare(where, model, threads) {
    const { name, file, size } = model, all = { mohvit: [], onnxruntime: [] };
    for (let round = 1; round <= Number(rounds); round++)
        for (const engine of Object.keys(all)) {
            const answer = await where.measure({
                engine, place: where.places[engine], model: where.places.model(`${file}.safetensors`),
                onnx: where.places.model(`${file}.onnx`), threads, worker: where.worker, size, runs: Number(runs || model.runs),
            });
            all[engine].push(answer);
            console.error(`bench: ${where.name}, ${name}, ${threads} ${threads > 1 ? "threads" : "thread"}, round ${round} of ${rounds}, ${engine}: `
                + `ready ${ms(answer.ready)} ms, a picture ${ms(median(answer.times))} ms`);
        }
    const [ours, theirs] = Object.values(all).map((answers) => ({
        ready: median(answers.map(({ ready }) => ready)), time: median(answers.map(({ times }) => median(times))),
        logits: answers[0].logits,
    }));
    const off = Math.max(...ours.logits.map((value, i) => Math.abs(value - theirs.logits[i])));
    if (!(off < 1e-2))
        throw new Error(`the answers differ by ${off}`);
    return { ours, theirs, off };
}

const { version } = JSON.parse(readFileSync(join(runtime, "package.json")));
const head = ["", "model", "threads", "mohvit, ms a picture", `onnxruntime-web ${version}, ms a picture`, "ratio", "mohvit, ms until ready",
    "onnxruntime-web, ms until ready", "logits differ by"];
console.log(`${cpus()[0].model}, ${cores} cores; medians of ${rounds} processes each.\n`);
console.log(`| ${head.join(" | ")} |\n|${head.map((_, i) => i < 2 ? "---|" : "---:|").join("")}`);
for (const where of SETTINGS)
    for (const model of MODELS)
        for (const threads of new Set([1, where.most])) {
            const { ours, theirs, off } = await compare(where, model, threads);
            console.log(`| ${[where.name, model.name, threads, ms(ours.time), ms(theirs.time),
                (ours.time / theirs.time).toFixed(2), ms(ours.ready), ms(theirs.ready), off.toExponential(1)].join(" | ")} |`);
        }
server.close();
