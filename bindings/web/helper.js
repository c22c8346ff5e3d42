// helper.js - a thread that helps a model compute: an instance of its module over the same memory, with a stack of its own. It
// says {} once it is ready, or {error} if it cannot be.
import { imports } from "./system.js";

async function help(port, { module, memory, stack, worker }) {
    let exports;
    try {
        ({ exports } = await WebAssembly.instantiate(module, imports(module, () => memory)));
    } catch (error) {
        port.postMessage({ error: error.message });
        return;
    }
    exports.stackRestore(stack);
    port.postMessage({});
    try {
        exports.web_help(worker); // does not return: the thread ends with the model
    } catch { // a trap: the engine must not wait for a task that will never be done
        exports.stackRestore(stack);
        exports.web_help_failed();
    }
}

if (typeof process === "object" && process.versions?.node)
    import("node:worker_threads").then(({ parentPort: port }) => port.on("message", (message) => help(port, message)));
else
    globalThis.onmessage = ({ data }) => help(globalThis, data);
