// files.js - what a file is, by its first bytes: checkpoints are called many names.

const HEADER = 64 * 2 ** 20; // bytes of a safetensors header that are looked at

async function bytesOf(file, from, to) {
    return new Uint8Array(await file.slice(from, to).arrayBuffer());
}

/* Its metadata, or null where it is no safetensors. */
async function safetensorsMetadata(file, first) {
    if (first.length < 9 || first[8] !== 0x7B) // {
        return null;
    const length = Number(new DataView(first.buffer).getBigUint64(0, true));
    if (length > Math.min(HEADER, file.size - 8))
        return null;
    try {
        return JSON.parse(new TextDecoder().decode(await bytesOf(file, 8, 8 + length))).__metadata__ ?? {};
    } catch {
        return {}; // damaged: the library says how
    }
}

/** "checkpoint", "head load", "config", or "picture" for all that only a decoder can tell. */
export async function kindOf(file) {
    const first = await bytesOf(file, 0, 16);
    const metadata = await safetensorsMetadata(file, first);
    if (metadata)
        return "head_load" in metadata ? "head load" : "checkpoint";
    const zip = first[0] === 0x50 && first[1] === 0x4B, pickle = first[0] === 0x80 && first[1] >= 2 && first[1] <= 5;
    if (zip || pickle || /\.(pth|pt|safetensors)$/i.test(file.name))
        return "checkpoint";
    return /\.json$/i.test(file.name) ? "config" : "picture";
}
