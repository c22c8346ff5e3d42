// engine.js - a model in WebAssembly, by calls that return when they are done: what the Worker has, and node.
import { ArgumentError, errorOfStatus, OutOfMemoryError, SystemFailure } from "./errors.js";
import { pixelsOf } from "./picture.js";
import { imports } from "./system.js";

const PAGES = { initial: 256, maximum: 65536 }; // of 64 KiB, as CMakeLists.txt has them
const HELPER_STACK = 2 ** 20;

function shareMemory() {
    try {
        return new WebAssembly.Memory({ ...PAGES, shared: true });
    } catch (error) {
        throw new OutOfMemoryError(`no memory that threads can share: ${error.message}`);
    }
}

/** Whether a module's memory is to be shared with helpers. */
export function isShared(module) {
    return WebAssembly.Module.imports(module).some(({ kind }) => kind === "memory");
}

async function startWorker(url) {
    if (typeof process !== "object" || !process.versions?.node)
        return new Worker(url, { type: "module" });
    const { Worker: Thread } = await import("node:worker_threads");
    const thread = new Thread(new URL(url), { execArgv: [] }); // --input-type=module is for the program alone
    thread.unref(); // the process ends in spite of it
    return thread;
}

export class Engine {
    #exports;
    #memory;
    #module;
    #helpers = [];
    #stopped = null; // why: nothing can be asked of it any more
    #loads = new Set(); // head loads: where they lie

    /** module: a WebAssembly.Module of mohvit.wasm, or of mohvit_threads.wasm where memory can be shared. */
    static async create(module) {
        const engine = new Engine();
        engine.#module = module;
        engine.#memory = isShared(module) ? shareMemory() : null;
        const { exports } = await WebAssembly.instantiate(module, imports(module, () => engine.#memory));
        engine.#exports = exports;
        engine.#memory ??= exports.memory;
        exports._initialize?.();
        return engine;
    }

    /** Starts the threads that help. url: of helper.js. */
    async startHelpers(threads, url) {
        const start = async (number) => {
            const helper = await startWorker(url);
            this.#helpers.push(helper);
            const stack = this.#call("web_allocate", HELPER_STACK) >>> 0;
            if (!stack)
                throw new OutOfMemoryError("no memory for a thread");
            const ready = new Promise((resolve, reject) => {
                const take = ({ error }) => error === undefined ? resolve() : fail({ message: error });
                const fail = ({ message }) =>
                    reject(new SystemFailure(`a thread could not be started: ${message ?? `${url} cannot be read`}`));
                if (helper.once) {
                    helper.once("message", take).once("error", fail);
                } else {
                    helper.onmessage = ({ data }) => take(data);
                    helper.onerror = fail;
                }
            });
            const top = (stack + HELPER_STACK) & -64; // compiled code goes by its alignment
            helper.postMessage({ module: this.#module, memory: this.#memory, stack: top, worker: number });
            await ready;
        };
        await Promise.all(Array.from({ length: threads - 1 }, (_, i) => start(i + 1)));
    }

    close() {
        for (const helper of this.#helpers)
            helper.terminate();
    }

    // ---- Calls and memory -----------------------------------------------------------------------

    #call(name, ...values) {
        try {
            if (!this.#stopped)
                return this.#exports[name](...values);
        } catch (error) { // a trap, here or in a thread that helps: out of stack, or a fault in the library
            this.#stopped = `the engine stopped in ${name}: ${error.message}`;
        }
        throw new SystemFailure(this.#stopped);
    }

    #check(status) {
        if (status)
            throw errorOfStatus(status, this.#string(this.#call("web_message")));
    }

    /* A copy of bytes in the instance's memory. */
    #put(bytes) {
        const at = this.#call("web_allocate", bytes.byteLength) >>> 0;
        if (!at)
            throw new OutOfMemoryError(`no memory for ${bytes.byteLength} bytes`);
        const source = new Uint8Array(bytes.buffer ?? bytes, bytes.byteOffset ?? 0, bytes.byteLength);
        new Uint8Array(this.#memory.buffer).set(source, at);
        return at;
    }

    #putText(value) {
        return value == null ? 0 : this.#put(new TextEncoder().encode(`${value}\0`));
    }

    #free(...places) {
        for (const at of places)
            this.#call("web_free", at);
    }

    #string(at) {
        const bytes = new Uint8Array(this.#memory.buffer, at >>> 0);
        return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
    }

    #json(at) {
        if (!at)
            this.#check(this.#call("web_status"));
        return JSON.parse(this.#string(at));
    }

    #numbers(kind, at, count) {
        return new kind(this.#memory.buffer, at >>> 0, count).slice();
    }

    // ---- The model ------------------------------------------------------------------------------

    /** source: the bytes of a checkpoint, or {variant, seed} for test weights. Returns what the model is. */
    open(source, { key, config, imgSize = 0, precision, threads = 1 } = {}) {
        if (!Number.isSafeInteger(imgSize) || imgSize < 0)
            throw new ArgumentError(`imgSize ${imgSize}; expected a number of pixels`);
        const json = config == null || typeof config === "string" ? config : JSON.stringify(config);
        const texts = [this.#putText(key), this.#putText(json), this.#putText(precision)];
        try {
            this.#check(this.#call("web_set_options", texts[0], texts[1], imgSize, texts[2], threads));
            const at = source.variant === undefined && source.seed === undefined ? this.#put(source)
                                                                                 : this.#putText(source.variant ?? "");
            texts.push(at);
            this.#check(source.byteLength === undefined
                ? this.#call("web_open_synthetic", at, source.seed ?? 0)
                : this.#call("web_open", at, source.byteLength));
        } finally {
            this.#free(...texts);
        }
        return this.describe();
    }

    describe() {
        return (this.description = this.#json(this.#call("web_describe")));
    }

    /** How many of the routed heads a token picks: a number, "50%", or null for as trained. */
    setRoutedHeads(value) {
        const at = this.#putText(value);
        try {
            this.#check(this.#call("web_set_routed_heads", at));
        } finally {
            this.#free(at);
        }
        return this.describe();
    }

    // ---- A picture ------------------------------------------------------------------------------

    #load({ data, width, height, tensor }) {
        const { imgSize } = this.description;
        if (tensor) {
            if (!(tensor instanceof Float32Array) || tensor.length !== 3 * imgSize * imgSize)
                throw new ArgumentError(`a tensor of ${tensor.length} numbers; expected a Float32Array of 3 · ${imgSize}²`);
        } else {
            if (!Number.isSafeInteger(width) || !Number.isSafeInteger(height) || width < 1 || height < 1)
                throw new ArgumentError(`a picture of ${width}×${height} pixels`);
            if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray))
                throw new ArgumentError("a picture's pixels; expected a Uint8Array or a Uint8ClampedArray");
        }
        const channels = tensor ? 0 : data.length / (width * height);
        if (!tensor && channels !== 3 && channels !== 4)
            throw new ArgumentError(`${data.length} bytes for ${width}×${height} pixels; expected 3 or 4 for each`);
        const at = this.#put(tensor ?? data);
        try {
            this.#check(tensor ? this.#call("web_load_tensor", at)
                               : this.#call("web_load_pixels", at, width, height, channels));
        } finally {
            this.#free(at);
        }
    }

    /** picture: {data, width, height}, or {tensor}; none: the last one again. */
    classify(picture, top = 5) {
        if (!Number.isSafeInteger(top) || top < 0)
            throw new ArgumentError(`top ${top}; expected a number of classes`);
        if (picture)
            this.#load(picture);
        else if (!this.loaded)
            throw new ArgumentError("no picture was given, and none was classified before");
        this.loaded = true;
        this.#check(this.#call("web_run"));
        const { blocks, maxHeads, classes, featureCount } = this.description;
        const cells = blocks.length * maxHeads;
        return {
            top: this.#json(this.#call("web_top", top)),
            logits: this.#numbers(Float32Array, this.#call("web_logits"), classes.length),
            features: this.#numbers(Float32Array, this.#call("web_features"), featureCount),
            headTokens: this.#numbers(Int32Array, this.#call("web_head_tokens"), cells),
            headGateSum: this.#numbers(Float64Array, this.#call("web_head_gate_sum"), cells),
            gates: this.#numbers(Float32Array, this.#call("web_gates"),
                blocks.reduce((sum, { tokens, heads }) => sum + tokens * heads, 0)),
        };
    }

    // ---- Head loads -------------------------------------------------------------------------------

    /* Where something lies that a call may have failed to make. */
    #made(at) {
        if (!at)
            this.#check(this.#call("web_status"));
        return at >>> 0;
    }

    /** bytes: of a file; none: nothing counted yet. Returns what it is, with its handle. */
    openHeadLoad(bytes) {
        const at = bytes ? this.#put(bytes) : 0;
        try {
            const load = this.#made(bytes ? this.#call("web_head_load_open", at, bytes.byteLength)
                                          : this.#call("web_head_load_create"));
            this.#loads.add(load);
            return { load, description: this.#describe(load) };
        } finally {
            this.#free(at);
        }
    }

    #describe(load) {
        return this.#json(this.#call("web_head_load_describe", load));
    }

    #checkOpen(...loads) {
        if (!loads.every((load) => this.#loads.has(load)))
            throw new ArgumentError("the head load was closed");
    }

    /** Counts the last picture. */
    addToHeadLoad(load, index) {
        this.#checkOpen(load);
        if (!Number.isSafeInteger(index) || index < 0)
            throw new ArgumentError(`class ${index}; expected the index of a class`);
        this.#check(this.#call("web_head_load_add", load, index));
        return this.#describe(load);
    }

    mergeHeadLoads(to, from, allowMixed) {
        this.#checkOpen(to, from);
        this.#check(this.#call("web_head_load_merge", to, from, allowMixed ? 1 : 0));
        return this.#describe(to);
    }

    headLoadOfClass(load, index, blocks, maxHeads) {
        this.#checkOpen(load);
        if (!Number.isSafeInteger(index) || index < 0)
            throw new ArgumentError(`class ${index}; expected the index of a class`);
        const at = this.#made(this.#call("web_head_load_of_class", load, index)), cells = blocks * maxHeads;
        const all = this.#numbers(Float64Array, at, 1 + blocks + 2 * cells);
        this.#free(at);
        return {
            images: all[0],
            tokens: all.slice(1, 1 + blocks),
            active: all.slice(1 + blocks, 1 + blocks + cells),
            gateSum: all.slice(1 + blocks + cells),
        };
    }

    saveHeadLoad(load) {
        this.#checkOpen(load);
        const at = this.#made(this.#call("web_head_load_save", load));
        const bytes = this.#numbers(Uint8Array, at, this.#call("web_saved_size"));
        this.#free(at);
        return bytes;
    }

    closeHeadLoad(load) {
        if (this.#loads.delete(load))
            this.#call("web_head_load_close", load);
    }
}

const METHODS = ["setRoutedHeads", "classify", "openHeadLoad", "addToHeadLoad", "mergeHeadLoads", "headLoadOfClass",
    "saveHeadLoad", "closeHeadLoad"];

/** An engine with its model and its helpers, as the Worker and node have it: calls by their names. */
export class Host {
    #engine;

    async open(module, source, { threads = 1, helper, ...options }) {
        const engine = this.#engine = await Engine.create(module);
        const description = engine.open(source, { ...options, threads });
        // Runs below 0.1 GMAC are one thread's: it would cost more to wake others.
        const helped = threads > 1 && description.gmacs >= 0.1;
        if (helped)
            await engine.startHelpers(threads, helper);
        return { ...description, threads: helped ? threads : 1 };
    }

    async call(method, ...values) {
        if (method === "open")
            return this.open(...values);
        if (!METHODS.includes(method))
            throw new ArgumentError(`no method ${method}`);
        if (method === "classify")
            values[0] = await pixelsOf(values[0]);
        if (!this.#engine)
            throw new SystemFailure("the model was closed");
        return this.#engine[method](...values);
    }

    close() {
        this.#engine?.close();
        this.#engine = null;
    }
}
