// head_load.js - a head load, read by the library and kept: which heads work for which class. It outlives the model that read it.

/** bytes of a file, read by any open model. Throws where they are damaged. */
export async function readHeadLoad(model, bytes, name) {
    const counted = await model.openHeadLoad(bytes), { classes, blocks, maxHeads, images } = counted;
    try {
        const counts = await Promise.all(classes.map((_, c) => counted.ofClass(c)));
        return {
            name,
            blocks,
            labels: classes.map(({ label }) => label),
            allImages: images,
            images: (c) => counts[c].images,
            /* "load": the share of the class's patches that picked the head; "gate": its mean gate over them. */
            of(measure, c, block, head) {
                const { tokens, active, gateSum } = counts[c], at = block * maxHeads + head;
                return (measure === "gate" ? gateSum : active)[at] / tokens[block];
            },
        };
    } finally {
        await counted.close();
    }
}
