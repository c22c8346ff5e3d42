// index.js - the package: load a model, classify pictures, look at its heads.
import { Host, isShared } from "./engine.js";
import { ArgumentError, FileError, SystemFailure, unpackError } from "./errors.js";
import { here } from "./here.js";

export {
    ArgumentError, FileError, FormatError, LimitError, MismatchError, MohvitError, NonFiniteError, OutOfMemoryError,
    SystemFailure, UnsupportedError,
} from "./errors.js";

const MAX_THREADS = 64;
const inNode = typeof process === "object" && !!process.versions?.node;

// ---- Files -------------------------------------------------------------------------------------

/* In node a path, or the URL of a file, is read; all else is fetched. */
async function readFile(place) {
    const local = inNode && !/^(https?|data|blob):/.test(place);
    try {
        if (local) {
            const { readFile: read } = await import("node:fs/promises");
            return await read(/^file:/.test(place) ? new URL(place) : place);
        }
        const response = await fetch(place);
        if (!response.ok)
            throw new Error(`${response.status} ${response.statusText}`);
        return new Uint8Array(await response.arrayBuffer());
    } catch (error) {
        throw new FileError(`${place}: cannot be read: ${error.message}`);
    }
}

async function compile(wasm) {
    if (wasm instanceof WebAssembly.Module)
        return wasm;
    return WebAssembly.compile(isPlace(wasm) ? await readFile(String(wasm)) : wasm);
}

function isPlace(value) {
    return typeof value === "string" || value instanceof URL;
}

function isBytes(value) {
    return value instanceof ArrayBuffer || ArrayBuffer.isView(value);
}

// ---- Who computes ------------------------------------------------------------------------------

/* A Worker that runs worker.js. */
class Remote {
    #waiting = new Map();
    #calls = 0;
    #closed = false;

    constructor(worker) {
        this.worker = worker;
        worker.onmessage = ({ data: { id, result, error } }) => {
            const { resolve, reject } = this.#waiting.get(id);
            this.#waiting.delete(id);
            error ? reject(unpackError(error)) : resolve(result);
        };
        worker.onerror = (event) => this.#fail(`the Worker failed: ${event.message ?? "it could not be started"}`);
        worker.onmessageerror = () => this.#fail("the Worker's answer cannot be read here");
    }

    #fail(message) {
        for (const { reject } of this.#waiting.values())
            reject(new SystemFailure(message));
        this.#waiting.clear();
    }

    call(method, ...values) {
        if (this.#closed)
            return Promise.reject(new SystemFailure("the model was closed"));
        return new Promise((resolve, reject) => {
            const id = this.#calls++;
            this.#waiting.set(id, { resolve, reject });
            this.worker.postMessage({ id, method, values });
        });
    }

    close() {
        this.#closed = true;
        this.worker.terminate();
        this.#fail("the model was closed");
    }
}

/* Whether the calling thread computes. */
function isLocal(worker) {
    return worker === false || (worker === undefined && (inNode || typeof Worker !== "function"));
}

function engineFor(worker) {
    if (isLocal(worker))
        return new Host();
    return new Remote(worker ?? new Worker(new URL("worker.js", here), { type: "module" }));
}

/* How many threads compute. A page's own thread may not wait for others. */
function threadsFor(asked, worker) {
    if (asked !== undefined && (!Number.isSafeInteger(asked) || asked < 0 || asked > MAX_THREADS))
        throw new ArgumentError(`${asked} threads; expected 0 to ${MAX_THREADS}`);
    const sharing = inNode || (globalThis.crossOriginIsolated === true && !isLocal(worker));
    if (!sharing)
        return 1;
    return asked || (inNode ? 1 : Math.min(navigator.hardwareConcurrency ?? 1, MAX_THREADS));
}

// ---- What users hold ---------------------------------------------------------------------------

/** What the network made of one picture. */
class Answer {
    #blocks;
    #gates;

    constructor(description, { gates, ...rest }) {
        Object.assign(this, rest); // top, logits, features, headTokens, headGateSum
        this.#blocks = description.blocks;
        this.#gates = gates;
    }

    gates(block) {
        if (!(block in this.#blocks))
            throw new ArgumentError(`block ${block} of a model that has ${this.#blocks.length}`);
        const first = this.#blocks.slice(0, block).reduce((sum, { tokens, heads }) => sum + tokens * heads, 0);
        const { tokens, heads } = this.#blocks[block];
        return { tokens, heads, side: Math.sqrt(tokens), values: this.#gates.subarray(first, first + tokens * heads) };
    }
}

/** An open model; what it is are properties. */
class Model {
    #engine;
    #description;
    #routedHeads = null;

    constructor(engine, description) {
        this.#engine = engine;
        this.#take(description);
    }

    #take(description) {
        this.#description = description;
        Object.assign(this, description);
    }

    get routedHeads() {
        return this.#routedHeads;
    }

    async setRoutedHeads(value) {
        if (value !== null && typeof value !== "number" && typeof value !== "string")
            throw new ArgumentError("routed heads are a number, a text such as \"50%\", or null");
        this.#take(await this.#engine.call("setRoutedHeads", value));
        this.#routedHeads = value;
    }

    async classify(picture, { top = 5 } = {}) {
        const description = this.#description;
        return new Answer(description, await this.#engine.call("classify", picture, top));
    }

    /** bytes or place of a head load's file; none: nothing counted yet. */
    async openHeadLoad(source) {
        if (source !== undefined && !isPlace(source) && !isBytes(source))
            throw new ArgumentError("a head load is a URL, or the bytes of a file");
        const bytes = isPlace(source) ? await readFile(String(source)) : source;
        return new HeadCounts(this.#engine, await this.#engine.call("openHeadLoad", bytes));
    }

    close() {
        this.#engine.close();
    }
}

/** A head load, which lies in the memory of the model that opened it. */
class HeadCounts {
    #engine;
    #load;

    constructor(engine, { load, description }) {
        this.#engine = engine;
        this.#load = load;
        Object.assign(this, description); // images, maxHeads, blocks, classes
    }

    async add(index) {
        Object.assign(this, await this.#engine.call("addToHeadLoad", this.#load, index));
    }

    async merge(other, { allowMixed = false } = {}) {
        if (!(other instanceof HeadCounts) || other.#engine !== this.#engine)
            throw new ArgumentError("the head load to merge is not of this model");
        Object.assign(this, await this.#engine.call("mergeHeadLoads", this.#load, other.#load, allowMixed));
    }

    ofClass(index) {
        return this.#engine.call("headLoadOfClass", this.#load, index, this.blocks.length, this.maxHeads);
    }

    save() {
        return this.#engine.call("saveHeadLoad", this.#load);
    }

    async close() {
        await this.#engine.call("closeHeadLoad", this.#load);
    }
}

/** Opens a model: the place or the bytes of a checkpoint, test weights, or nothing for the small model of the package. */
export async function load(source = new URL("moh_vit_nano.safetensors", here), options = {}) {
    const { wasm, worker, helper, routedHeads, threads: asked, ...rest } = options;
    const synthetic = source && (source.variant !== undefined || source.seed !== undefined);
    if (!isPlace(source) && !isBytes(source) && !synthetic)
        throw new ArgumentError("a model is a URL, the bytes of a checkpoint, or {variant, seed}");
    const able = threadsFor(asked, worker);
    const [module, content] = await Promise.all([
        compile(wasm ?? new URL(able > 1 ? "mohvit_threads.wasm" : "mohvit.wasm", here)),
        isPlace(source) ? readFile(String(source)) : source,
    ]);
    const threads = isShared(module) ? able : 1;
    const helps = threads > 1 ? String(helper ?? new URL("helper.js", here)) : undefined;
    const engine = engineFor(worker);
    try {
        const model = new Model(engine, await engine.call("open", module, content, { ...rest, threads, helper: helps }));
        if (routedHeads != null)
            await model.setRoutedHeads(routedHeads);
        return model;
    } catch (error) {
        engine.close();
        throw error;
    }
}
