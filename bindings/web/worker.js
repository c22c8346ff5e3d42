// worker.js - the engine in a Worker of its own, so that the page stays responsive. Calls come as {id, method, values} and
// are answered in their order, as {id, result} or {id, error}.
import { Host } from "./engine.js";
import { packError } from "./errors.js";

const host = new Host();
let last = Promise.resolve();

async function answer({ id, method, values }) {
    try {
        const result = await host.call(method, ...values);
        const arrays = (ArrayBuffer.isView(result) ? [result] : Object.values(result ?? {})).filter(ArrayBuffer.isView);
        postMessage({ id, result }, arrays.map((array) => array.buffer));
    } catch (error) {
        postMessage({ id, error: packError(error) });
    }
}

onmessage = ({ data }) => {
    last = last.then(() => answer(data));
};
onmessageerror = () => {
    throw new Error("a call cannot be read there"); // which the caller hears of
};
