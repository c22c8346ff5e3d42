/** Where a model comes from: a URL (in node also a path), the bytes of a `.safetensors` or `.pth`, or deterministic test weights
 * of a published variant (`{variant: "moh_transnext_small_75", seed: 0}`) or of a config. */
export type Source = string | URL | ArrayBuffer | Uint8Array | { variant?: string; seed?: number };

/** A picture as the browser has it, raw pixels (3 or 4 bytes each, row by row, what follows red, green and blue is dropped), or
 * what the network takes as it is: (3, imgSize, imgSize), resized and normalised. */
export type Picture = ImageBitmap | ImageData | Blob
    | { data: Uint8Array | Uint8ClampedArray; width: number; height: number }
    | { tensor: Float32Array };

/** A number of the routed heads, "K", "P%" of them, or null: as trained. */
export type RoutedHeads = number | string | null;

export interface LoadOptions {
    /** Weight set of a `.pth`, or what stands before the names of the tensors. */
    key?: string;
    /** Replaces the checkpoint's own: for a model that is not a published variant. JSON, or what it says. */
    config?: string | object;
    /** Side of the square input in pixels. */
    imgSize?: number;
    precision?: "f32" | "bf16" | "int8" | "f16";
    routedHeads?: RoutedHeads;
    /** Threads that compute a picture; one where memory cannot be shared. Default, and 0: in a page that is cross-origin isolated
     * one for each processor, else and in node one. */
    threads?: number;
    /** Where mohvit.wasm is, or what it holds. */
    wasm?: string | URL | BufferSource | WebAssembly.Module;
    /** A Worker that runs worker.js, for who starts his own; false: the calling thread computes, as in node. */
    worker?: Worker | false;
    /** Where helper.js is, which each further thread runs. */
    helper?: string | URL;
}

/** An attention block. */
export interface Block {
    /** "4.2" is block 2 of stage 4. */
    name: string;
    stage: number;
    block: number;
    /** Of a picture: a square of them, row by row. */
    tokens: number;
    heads: number;
    /** Heads that are always on, the first ones; all of them where routed is 0. */
    shared: number;
    /** Heads that each token picks of the others. */
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

/** The gates of a block: of token t and head h values[t * heads + h], 0 where the token did not pick the head. */
export interface Gates {
    tokens: number;
    heads: number;
    /** Tokens of a row: tokens = side². */
    side: number;
    values: Float32Array;
}

export interface Answer {
    /** The most likely classes first. */
    readonly top: Prediction[];
    /** Scores of all classes before softmax. */
    readonly logits: Float32Array;
    /** What the classifier scores. */
    readonly features: Float32Array;
    /** (blocks, maxHeads): the tokens that picked each head; -1 where a block has fewer heads. */
    readonly headTokens: Int32Array;
    /** (blocks, maxHeads): the head's gate, summed over the tokens. */
    readonly headGateSum: Float64Array;
    /** Of a block, counted over all stages from 0. */
    gates(block: number): Gates;
}

export interface Model {
    /** A published name, or "custom". */
    readonly variant: string;
    readonly imgSize: number;
    readonly featureCount: number;
    readonly maxHeads: number;
    readonly parameters: number;
    /** 10^9 multiply-adds of a picture with all heads, and as they are performed with routedHeads. */
    readonly gmacs: number;
    readonly gmacsRouted: number;
    /** That compute a picture: one where the model is so small that others are not worth waking. */
    readonly threads: number;
    readonly activeHeadsPercent: number;
    readonly blocks: Block[];
    readonly classes: { label: string; id: string | null }[];
    readonly config: object;
    readonly preprocess: object;
    /** What its answers depend on. */
    readonly provenance: object;
    readonly routedHeads: RoutedHeads;
    /** Top-k of later pictures, with the same weights in memory. The properties follow. */
    setRoutedHeads(value: RoutedHeads): Promise<void>;
    /** Without a picture the last one again, as after setRoutedHeads. */
    classify(picture?: Picture, options?: { top?: number }): Promise<Answer>;
    /** Frees all. Calls that wait end with a SystemFailure. */
    close(): void;
    /** What the program or save has written, by its URL (in node also a path) or its bytes; without one, nothing counted yet. */
    openHeadLoad(source?: string | URL | ArrayBuffer | Uint8Array): Promise<HeadLoad>;
}

/** What was counted of a class: a head's load is active / tokens of its block. */
export interface ClassCounts {
    images: number;
    /** (blocks): tokens of all its pictures. */
    tokens: Float64Array;
    /** (blocks, maxHeads): tokens that picked the head; -1 where a block has fewer heads. */
    active: Float64Array;
    /** (blocks, maxHeads): the head's gate, summed over the tokens. */
    gateSum: Float64Array;
}

/** Which heads work for which class, as `mohvit headload` has it. */
export interface HeadLoad {
    /** Pictures that were counted, of all classes. */
    readonly images: number;
    readonly maxHeads: number;
    readonly blocks: Block[];
    readonly classes: { label: string; id: string | null }[];
    /** Counts the picture that the model classified last, as one of this class. */
    add(classIndex: number): Promise<void>;
    /** Adds what another head load of the same Model has counted. allowMixed: also where it was counted by another build or
     * instruction set, which round differently, as the program's are. */
    merge(other: HeadLoad, options?: { allowMixed?: boolean }): Promise<void>;
    ofClass(classIndex: number): Promise<ClassCounts>;
    /** The bytes of a file that the program reads. */
    save(): Promise<Uint8Array>;
    /** Frees it; Model.close does so, too. */
    close(): Promise<void>;
}

/** Opens a model; without a source the small one of the package, which knows the ten classes of Fashion-MNIST. */
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
