// index.js - the package: load a model, classify pictures, look at its heads.
import { Engine } from "./engine.js";
import { ArgumentError, FileError, SystemFailure, unpackError } from "./errors.js";
import { here } from "./here.js";
import { pixelsOf } from "./picture.js";

export {
    ArgumentError, FileError, FormatError, LimitError, MismatchError, MohvitError, NonFiniteError, OutOfMemoryError,
    SystemFailure, UnsupportedError,
} from "./errors.js";

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

async function compile(wasm = new URL("mohvit.wasm", here)) {
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

/* This thread. */
class Local {
    async call(method, ...values) {
        if (method === "open") {
            const [module, ...rest] = values;
            this.engine = await Engine.create(module);
            return this.engine.open(...rest);
        }
        if (method === "classify")
            values[0] = await pixelsOf(values[0]);
        return this.engine[method](...values);
    }

    close() {
        this.engine = null;
    }
}

/* A Worker that runs worker.js. */
class Remote {
    #waiting = new Map();
    #calls = 0;

    constructor(worker) {
        this.worker = worker;
        worker.onmessage = ({ data: { id, result, error } }) => {
            const { resolve, reject } = this.#waiting.get(id);
            this.#waiting.delete(id);
            error ? reject(unpackError(error)) : resolve(result);
        };
        worker.onerror = (event) => this.#fail(`the Worker failed: ${event.message ?? "it could not be started"}`);
    }

    #fail(message) {
        for (const { reject } of this.#waiting.values())
            reject(new SystemFailure(message));
        this.#waiting.clear();
    }

    call(method, ...values) {
        return new Promise((resolve, reject) => {
            const id = this.#calls++;
            this.#waiting.set(id, { resolve, reject });
            this.worker.postMessage({ id, method, values });
        });
    }

    close() {
        this.worker.terminate();
        this.#fail("the model was closed");
    }
}

function engineFor(worker) {
    if (worker === false || (worker === undefined && typeof Worker !== "function"))
        return new Local();
    return new Remote(worker ?? new Worker(new URL("worker.js", here), { type: "module" }));
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

    close() {
        this.#engine.close();
    }
}

/** Opens a model: the place or the bytes of a checkpoint, test weights, or nothing for the small model of the package. */
export async function load(source = new URL("moh_vit_nano.safetensors", here), options = {}) {
    const { wasm, worker, routedHeads, ...rest } = options;
    const synthetic = source && (source.variant !== undefined || source.seed !== undefined);
    if (!isPlace(source) && !isBytes(source) && !synthetic)
        throw new ArgumentError("a model is a URL, the bytes of a checkpoint, or {variant, seed}");
    const [module, content] = await Promise.all([compile(wasm), isPlace(source) ? readFile(String(source)) : source]);
    const engine = engineFor(worker);
    try {
        const model = new Model(engine, await engine.call("open", module, content, rest));
        if (routedHeads != null)
            await model.setRoutedHeads(routedHeads);
        return model;
    } catch (error) {
        engine.close();
        throw error;
    }
}
