// worker.js - the engine in a Worker of its own, so that the page stays responsive. Calls come as {id, method, values} and
// are answered in their order, as {id, result} or {id, error}.
import { Engine } from "./engine.js";
import { packError } from "./errors.js";
import { pixelsOf } from "./picture.js";

let engine;
let last = Promise.resolve();

const methods = {
    async open(module, source, options) {
        engine = await Engine.create(module);
        return engine.open(source, options);
    },
    setRoutedHeads: (value) => engine.setRoutedHeads(value),
    classify: async (picture, top) => engine.classify(await pixelsOf(picture), top),
};

async function answer({ id, method, values }) {
    try {
        const result = await methods[method](...values);
        const arrays = Object.values(result).filter(ArrayBuffer.isView);
        postMessage({ id, result }, arrays.map((array) => array.buffer));
    } catch (error) {
        postMessage({ id, error: packError(error) });
    }
}

onmessage = ({ data }) => {
    last = last.then(() => answer(data));
};
