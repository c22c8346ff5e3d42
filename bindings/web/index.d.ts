/** Where a model comes from: a URL (in node also a path), the bytes of a `.safetensors` or `.pth`, or deterministic test weights
 * of a published variant (`{variant: "moh_transnext_small_75", seed: 0}`) or of a config. */
export type Source = string | URL | ArrayBuffer | Uint8Array | { variant?: string; seed?: number };

/** A picture as the browser has it; or raw pixels, row by row, with 3 or 4 bytes each: red, green, blue, and a fourth that is
 * ignored; or the network's input, resized and normalised: (3, imgSize, imgSize). */
export type Picture = ImageBitmap | ImageData | Blob
    | { data: Uint8Array | Uint8ClampedArray; width: number; height: number }
    | { tensor: Float32Array };

/** How many routed heads a token picks: a number, as such or as text; a percentage of the routed heads, such as "50%"; or null,
 * as trained. */
export type RoutedHeads = number | string | null;

export interface LoadOptions {
    /** The weight set of a `.pth`, or the prefix of the tensors' names. */
    key?: string;
    /** The config of a model that is not a published variant, as JSON or as an object. Replaces the checkpoint's own. */
    config?: string | object;
    /** Side of the square input in pixels. */
    imgSize?: number;
    precision?: "f32" | "bf16" | "int8" | "f16";
    routedHeads?: RoutedHeads;
    /** Threads that compute a picture. 0, the default, is one for each processor in a page that is cross-origin isolated, and one
     * elsewhere. Where memory cannot be shared, it is always one. */
    threads?: number;
    /** The place or the content of mohvit.wasm, or of mohvit_threads.wasm. */
    wasm?: string | URL | BufferSource | WebAssembly.Module;
    /** A Worker of your own that runs worker.js; or false: the calling thread computes, as in node. */
    worker?: Worker | false;
    /** Where helper.js is. Each further thread runs it. */
    helper?: string | URL;
}

/** An attention block. */
export interface Block {
    /** "4.2" is block 2 of stage 4. */
    name: string;
    stage: number;
    block: number;
    /** Tokens of a picture. They form a square, and are numbered row by row. */
    tokens: number;
    heads: number;
    /** Heads that are always on; they come first. Where routed is 0, all heads are. */
    shared: number;
    /** How many of the other heads each token picks. */
    routed: number;
}

export interface Prediction {
    class: number;
    /** Softmax over all classes. */
    probability: number;
    label: string;
    /** WordNet id. */
    id: string | null;
}

/** The gates of a block. That of token t and head h is values[t * heads + h]; it is 0 if the token did not pick the head. */
export interface Gates {
    tokens: number;
    heads: number;
    /** Tokens in a row: tokens = side². */
    side: number;
    values: Float32Array;
}

export interface Answer {
    /** The most likely classes, best first. */
    readonly top: Prediction[];
    /** Scores of all classes before softmax. */
    readonly logits: Float32Array;
    /** The vector that the classifier scores. */
    readonly features: Float32Array;
    /** (blocks, maxHeads): how many tokens picked each head; -1 where a block has fewer heads. */
    readonly headTokens: Int32Array;
    /** (blocks, maxHeads): each head's gate, summed over the tokens. */
    readonly headGateSum: Float64Array;
    /** The gates of a block. Blocks are numbered from 0 over all stages. */
    gates(block: number): Gates;
}

export interface Model {
    /** A published name, or "custom". */
    readonly variant: string;
    readonly imgSize: number;
    readonly featureCount: number;
    readonly maxHeads: number;
    readonly parameters: number;
    /** Billions of multiply-adds for a picture if all heads work. */
    readonly gmacs: number;
    /** Those that are performed with routedHeads. */
    readonly gmacsRouted: number;
    /** Threads that compute a picture: one if the model is so small that others are not worth waking. */
    readonly threads: number;
    readonly activeHeadsPercent: number;
    readonly blocks: Block[];
    readonly classes: { label: string; id: string | null }[];
    readonly config: object;
    readonly preprocess: object;
    /** What the answers depend on. */
    readonly provenance: object;
    readonly routedHeads: RoutedHeads;
    /** Sets the top-k of later pictures. The weights in memory stay the same, and the properties follow. */
    setRoutedHeads(value: RoutedHeads): Promise<void>;
    /** Classifies a picture; without one, the last picture again, which is of use after setRoutedHeads. */
    classify(picture?: Picture, options?: { top?: number }): Promise<Answer>;
    /** Frees everything. Calls that still wait end with a SystemFailure. */
    close(): void;
    /** Opens a head load that the program or save has written: its URL (in node also a path) or its bytes. Without a source, it
     * begins an empty one. */
    openHeadLoad(source?: string | URL | ArrayBuffer | Uint8Array): Promise<HeadLoad>;
}

/** The counts of a class. A head's load is active / tokens of its block. */
export interface ClassCounts {
    images: number;
    /** (blocks): tokens of all pictures of the class. */
    tokens: Float64Array;
    /** (blocks, maxHeads): how many tokens picked each head; -1 where a block has fewer heads. */
    active: Float64Array;
    /** (blocks, maxHeads): each head's gate, summed over the tokens. */
    gateSum: Float64Array;
}

/** Which heads work for which class, as `mohvit headload` counts it. */
export interface HeadLoad {
    /** Pictures that were counted, over all classes. */
    readonly images: number;
    readonly maxHeads: number;
    readonly blocks: Block[];
    readonly classes: { label: string; id: string | null }[];
    /** Counts the picture that the model classified last as one of this class. */
    add(classIndex: number): Promise<void>;
    /** Adds the counts of another head load that the same Model has opened. Counts of a build or instruction set that rounds
     * differently, such as the program's, are refused unless allowMixed is true. */
    merge(other: HeadLoad, options?: { allowMixed?: boolean }): Promise<void>;
    ofClass(classIndex: number): Promise<ClassCounts>;
    /** The bytes of a file that the program reads. */
    save(): Promise<Uint8Array>;
    /** Frees it; Model.close does so, too. */
    close(): Promise<void>;
}

/** Opens a model. Without a source, it is the package's small one, which knows the ten classes of Fashion-MNIST. */
export function load(source?: Source, options?: LoadOptions): Promise<Model>;

export class MohvitError extends Error {}
export class ArgumentError extends MohvitError {}
export class OutOfMemoryError extends MohvitError {}
export class FileError extends MohvitError {}
export class FormatError extends MohvitError {}
export class UnsupportedError extends MohvitError {}
export class LimitError extends MohvitError {}
export class MismatchError extends MohvitError {}
export class NonFiniteError extends MohvitError {}
export class SystemFailure extends MohvitError {}
