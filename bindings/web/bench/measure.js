// measure.js - what node and the page share: makes an engine ready, lets it answer, and takes the time of both. An engine
// computes where it is called, or, with `worker`, in a Worker of its own.
const engines = {
    async mohvit({ place, model, threads, worker }) {
        const { load } = await import(place);
        const opened = await load(model, { threads, worker: worker ? undefined : false });
        return async (tensor) => (await opened.classify({ tensor })).logits;
    },

    async onnxruntime({ place, onnx, threads, worker, size }) {
        const ort = await import(place);
        ort.env.wasm.numThreads = threads;
        ort.env.wasm.proxy = worker;
        const session = await ort.InferenceSession.create(onnx, { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
        return async (tensor) => {
            const own = worker ? tensor.slice() : tensor; // its Worker keeps what it is sent
            return (await session.run({ pixels: new ort.Tensor("float32", own, [1, 3, size, size]) })).logits.data;
        };
    },
};

/* Any picture: values as normalised pixels have them, the same for all. */
function somePixels(size) {
    return Float32Array.from({ length: 3 * size * size }, (_, i) => 2 * Math.sin(i * 0.37) * Math.cos(i * 0.011));
}

/** job: { engine, place, model, onnx, threads, worker, size, runs }. Gives milliseconds to get ready and for each run, and the
 * logits. */
export async function measure(job) {
    const tensor = somePixels(job.size), start = performance.now();
    const answer = await engines[job.engine](job);
    const ready = performance.now() - start, times = [];
    let logits = await answer(tensor); // the first one compiles
    for (let run = 0; run < job.runs; run++) {
        const begun = performance.now();
        logits = await answer(tensor);
        times.push(performance.now() - begun);
    }
    return { ready, times, logits: Array.from(logits) };
}
