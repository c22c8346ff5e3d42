// engine.js - a model in WebAssembly, by calls that return when they are done: what the Worker has, and node.
import { ArgumentError, errorOfStatus, OutOfMemoryError, SystemFailure } from "./errors.js";

const NOT_THERE = 52; // WASI's ENOSYS

/* The little of a system that the library asks for: a clock. There are no files, and no environment. */
function imports(module, memory) {
    const known = {
        clock_time_get(_clock, _precision, at) {
            new DataView(memory().buffer).setBigUint64(at, BigInt(Math.round(performance.now() * 1e6)), true);
            return 0;
        },
        environ_sizes_get(count, size) {
            const view = new DataView(memory().buffer);
            view.setUint32(count, 0, true);
            view.setUint32(size, 0, true);
            return 0;
        },
        environ_get: () => 0,
        proc_exit(code) {
            throw new Error(`it ended with ${code}`);
        },
        emscripten_notify_memory_growth() {},
    };
    const all = {};
    for (const { module: from, name } of WebAssembly.Module.imports(module))
        (all[from] ??= {})[name] = known[name] ?? (() => NOT_THERE);
    return all;
}

export class Engine {
    #exports;

    /** module: a WebAssembly.Module of mohvit.wasm. */
    static async create(module) {
        const engine = new Engine();
        const instance = await WebAssembly.instantiate(module, imports(module, () => engine.#exports.memory));
        engine.#exports = instance.exports;
        instance.exports._initialize?.();
        return engine;
    }

    // ---- Calls and memory -----------------------------------------------------------------------

    #call(name, ...values) {
        try {
            return this.#exports[name](...values);
        } catch (error) { // a trap: out of stack, or a fault in the library
            throw new SystemFailure(`the engine stopped in ${name}: ${error.message}`);
        }
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
        new Uint8Array(this.#exports.memory.buffer).set(source, at);
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
        const bytes = new Uint8Array(this.#exports.memory.buffer, at >>> 0);
        return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
    }

    #json(at) {
        if (!at)
            this.#check(this.#call("web_status"));
        return JSON.parse(this.#string(at));
    }

    #numbers(kind, at, count) {
        return new kind(this.#exports.memory.buffer, at >>> 0, count).slice();
    }

    // ---- The model ------------------------------------------------------------------------------

    /** source: the bytes of a checkpoint, or {variant, seed} for test weights. Returns what the model is. */
    open(source, { key, config, imgSize = 0, precision } = {}) {
        if (!Number.isSafeInteger(imgSize) || imgSize < 0)
            throw new ArgumentError(`imgSize ${imgSize}; expected a number of pixels`);
        const json = config == null || typeof config === "string" ? config : JSON.stringify(config);
        const texts = [this.#putText(key), this.#putText(json), this.#putText(precision)];
        try {
            this.#check(this.#call("web_set_options", texts[0], texts[1], imgSize, texts[2], 1));
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
                throw new ArgumentError("the pixels of a picture are no Uint8Array or Uint8ClampedArray");
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
            throw new ArgumentError("there was no picture yet");
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
}
