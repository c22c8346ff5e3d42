// picture.js - from what a browser has of a picture to its pixels, as the library takes them.
import { ArgumentError, FormatError, LimitError } from "./errors.js";

const MAX_PIXELS = 128 * 2 ** 20; // as the library's own decoders

/* Nothing of the file's is changed on the way: it is not turned by its EXIF, no colour profile is applied, and no colour is
 * multiplied by its opacity. */
const AS_IT_IS = { imageOrientation: "none", premultiplyAlpha: "none", colorSpaceConversion: "none" };

async function bitmapOf(blob) {
    try {
        return await createImageBitmap(blob, AS_IT_IS);
    } catch (error) {
        throw new FormatError(`${blob.name ?? "the picture"}: cannot be decoded: ${error.message}`);
    }
}

/** {data, width, height} of a Blob, an ImageBitmap, an ImageData; {tensor} and undefined stay. */
export async function pixelsOf(picture) {
    const blob = typeof Blob === "function" && picture instanceof Blob;
    if (!blob && !(typeof ImageBitmap === "function" && picture instanceof ImageBitmap)) {
        if (picture !== undefined && !picture?.tensor && !picture?.data)
            throw new ArgumentError("a picture is an ImageBitmap, an ImageData, a Blob, or {data, width, height}");
        return picture;
    }
    if (typeof OffscreenCanvas !== "function")
        throw new ArgumentError("pictures cannot be decoded here; expected {data, width, height}");
    const bitmap = blob ? await bitmapOf(picture) : picture;
    const { width, height } = bitmap;
    if (width * height > MAX_PIXELS)
        throw new LimitError(`a picture of ${width}×${height} pixels; at most ${MAX_PIXELS} are read`);
    // Software, whose pixels come back as they went in.
    const canvas = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    canvas.drawImage(bitmap, 0, 0);
    if (blob)
        bitmap.close();
    return canvas.getImageData(0, 0, width, height);
}
