// inlined.js - what the file of the page brings along: WebAssembly, scripts of Workers, model, head load, samples.
import { load } from "../index.js";
import { $ } from "./elements.js";

export function inlined(id) {
    const text = atob($(id).textContent), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++)
        bytes[i] = text.charCodeAt(i);
    return bytes;
}

function placeOf(id) {
    return URL.createObjectURL(new Blob([$(id).textContent], { type: "text/javascript" }));
}

const workerPlace = placeOf("worker"), helperPlace = placeOf("helper");
// Only a page that is served with the headers of `serve` may share memory, and so have threads.
const compiled = WebAssembly.compile(inlined(globalThis.crossOriginIsolated ? "wasm-threads" : "wasm"));

export const builtIn = { name: "built in", bytes: async () => inlined("nano") };

/** source: {name, bytes(), config}. */
export async function openModel({ bytes, config }) {
    return load(await bytes(), { wasm: await compiled, worker: new Worker(workerPlace), helper: helperPlace, config });
}

/** [{name, blob}] */
export function samples() {
    return [...document.querySelectorAll("script[data-sample]")].map(({ id, dataset }) =>
        ({ name: dataset.sample, blob: new Blob([inlined(id)], { type: "image/png" }) }));
}
