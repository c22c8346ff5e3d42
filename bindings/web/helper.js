// helper.js - a thread that helps a model compute: an instance of its module over the same memory, with a stack of its own.
import { imports } from "./engine.js";

const inNode = typeof process === "object" && !!process.versions?.node;
const port = inNode ? (await import("node:worker_threads")).parentPort : globalThis;

async function help({ module, memory, stack, worker }) {
    const { exports } = await WebAssembly.instantiate(module, imports(module, () => memory));
    exports.stackRestore(stack);
    port.postMessage("ready");
    exports.web_help(worker); // does not return: the thread ends with the model
}

if (inNode)
    port.on("message", help);
else
    port.onmessage = ({ data }) => help(data);
