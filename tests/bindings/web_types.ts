// What index.d.ts promises, used as its readers would: the compiler checks it (test_web.sh), and nothing runs it. Every name
// that the package exports stands here; web.test.mjs sees to that.
import * as mohvit from "mohvit";
import { load } from "mohvit";
import type {
    Answer, Block, ClassCounts, Gates, HeadLoad, LoadOptions, Model, Picture, Prediction, RoutedHeads, Source,
} from "mohvit";

/* Values: none is missing, and none is there that index.js has not. */
export const values: Record<keyof typeof mohvit, true> = {
    load: true, MohvitError: true, ArgumentError: true, FileError: true, FormatError: true, LimitError: true, MismatchError: true,
    NonFiniteError: true, OutOfMemoryError: true, SystemFailure: true, UnsupportedError: true,
};

const sources: Source[] = ["model.pth", new URL("https://example.org/model.safetensors"), new Uint8Array(8), new ArrayBuffer(8),
    { variant: "moh_transnext_small_75", seed: 0 }];
const options: LoadOptions = {
    key: "state_dict", config: { num_classes: 5 }, imgSize: 224, precision: "int8", routedHeads: "50%", threads: 2,
    wasm: new Uint8Array(8), worker: false, helper: new URL("https://example.org/helper.js"),
};
// @ts-expect-error: no such precision
const wrong: LoadOptions = { precision: "f64" };

function describe(block: Block): string {
    return `${block.name} ${block.stage} ${block.block} ${block.tokens} ${block.heads} ${block.shared} ${block.routed}`;
}

async function classify(model: Model, pictures: Picture[], heads: RoutedHeads): Promise<number> {
    await model.setRoutedHeads(heads);
    let sum = 0;
    for (const picture of pictures) {
        const answer: Answer = await model.classify(picture, { top: 5 });
        const best: Prediction | undefined = answer.top[0];
        const gates: Gates = answer.gates(0);
        const line: string = best ? `${best.class} ${best.probability} ${best.label} ${best.id ?? "no id"}` : "";
        sum += line.length + gates.tokens + gates.heads + gates.side + gates.values.length;
        sum += answer.logits.length + answer.features.length + answer.headTokens.length + answer.headGateSum.length;
    }
    const again: Answer = await model.classify();
    // @ts-expect-error: what the network answered is not to be changed
    again.logits = new Float32Array(1);
    return sum;
}

async function count(model: Model): Promise<Uint8Array> {
    const loads: HeadLoad = await model.openHeadLoad();
    await loads.add(0);
    await loads.merge(await model.openHeadLoad(await loads.save()), { allowMixed: true });
    const counts: ClassCounts = await loads.ofClass(0);
    console.log(counts.images, counts.tokens[0], counts.active[0], counts.gateSum[0]);
    console.log(loads.images, loads.maxHeads, loads.blocks.map(describe), loads.classes.map(({ label, id }) => `${label} ${id}`));
    const bytes: Uint8Array = await loads.save();
    await loads.close();
    return bytes;
}

export async function all(bitmap: ImageBitmap, file: File, data: ImageData): Promise<void> {
    console.log(wrong);
    for (const source of sources)
        try {
            const model = await load(source, options);
            const { variant, imgSize, featureCount, maxHeads, parameters, gmacs, gmacsRouted, threads, activeHeadsPercent } = model;
            console.log(variant, imgSize + featureCount + maxHeads + parameters + gmacs + gmacsRouted + threads + activeHeadsPercent);
            console.log(model.blocks.map(describe), model.classes.length, model.config, model.preprocess, model.provenance, model.routedHeads);
            const pixels = { data: new Uint8ClampedArray(12), width: 2, height: 2 };
            await classify(model, [bitmap, file, data, pixels, { tensor: new Float32Array(3 * imgSize ** 2) }], 3);
            await count(model);
            model.close();
        } catch (error) {
            if (!(error instanceof mohvit.MohvitError))
                throw error;
            const text: string = error instanceof mohvit.FormatError ? error.message : error.name;
            console.log(text);
        }
}
