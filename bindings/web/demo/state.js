// state.js - what the page shows now, and what follows from that.

export const now = {
    source: null, // {name, bytes(), config}: what the models are opened from
    models: [], // one for each picture that is shown, so that each keeps its picture when top-k changes
    steps: [], // of top-k (topk.js)
    step: 0,
    strip: [], // pictures (pictures.js)
    views: [], // one or two that are shown: {picture, answer, points: probabilities by step}
    asked: [], // those that are to be, once they are answered
    block: 0,
    head: 0,
    patch: { view: 0, row: 0, column: 0 },
    measure: "load", // or "gate": by which classes are compared
    loads: null, // the head load that is shown
    loadBlock: 0,
    camera: null, // its stream
};

export const theModel = () => now.models[0];
export const blockNow = () => theModel().blocks[now.block];
export const asTrained = () => now.steps.findIndex(({ trained }) => trained);

export const candidates = (b) => b.heads - b.shared;
export const headName = (b, h) => (h < b.shared ? `s${h + 1}` : `r${h - b.shared + 1}`);
export const side = (b) => Math.round(Math.sqrt(b.tokens));
export const blockName = (b) => `${b.name}: ${side(b)} × ${side(b)} patches`;

/** Whether the head load is of a model like the one that is open. */
export function fits() {
    const { blocks, classes } = theModel(), { loads } = now;
    return Boolean(loads) && loads.labels.length === classes.length && loads.blocks.length === blocks.length
        && loads.blocks.every((b, i) => b.heads === blocks[i].heads && b.shared === blocks[i].shared && b.tokens === blocks[i].tokens);
}
