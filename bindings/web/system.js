// system.js - the little of a system that the library asks for: a clock, and memory that threads share. There are no files, and
// no environment.
const NOT_THERE = 52; // WASI's ENOSYS

/** What an instance of the module imports. memory: gives the one that threads share. */
export function imports(module, memory) {
    const known = {
        clock_time_get(_clock, _precision, at) { // once, for the seed of Jansson's hash tables
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
    for (const { module: from, name, kind } of WebAssembly.Module.imports(module))
        (all[from] ??= {})[name] = kind === "memory" ? memory() : known[name] ?? (() => NOT_THERE);
    return all;
}
