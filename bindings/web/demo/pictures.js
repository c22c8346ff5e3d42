// pictures.js - pictures as they are kept: decoded once to be classified, and small to be looked at; the strip of them.
import { drawCrop, lightOf } from "./drawing.js";
import { $, make } from "./elements.js";
import { now, theModel } from "./state.js";

const LIGHT_SIDE = 224; // pixels of a head's view: the patches of all published models divide it
const MOST_SHOWN = 1024; // pixels of a side that are kept to be looked at
const MOST_KEPT = 32;

/* As the package decodes: nothing of the file's is changed on the way. */
const DECODING = { imageOrientation: "none", premultiplyAlpha: "none", colorSpaceConversion: "none" };

/** {name, blob, width, height, display, whole}. Of a large picture a smaller one is looked at; the whole one is kept until the
 * first answer, and decoded anew for another. */
export async function pictureOf(blob, name) {
    try {
        const whole = await createImageBitmap(blob, DECODING), { width, height } = whole;
        const picture = { name, blob, width, height, display: whole }, part = MOST_SHOWN / Math.max(width, height);
        if (part < 1) {
            const to = (length) => Math.max(1, Math.round(length * part));
            picture.display = await createImageBitmap(whole, { resizeWidth: to(width), resizeHeight: to(height), resizeQuality: "medium" });
            picture.whole = whole;
        }
        return picture;
    } catch {
        throw new Error(`${name}: not a picture that this browser can read, nor a checkpoint or a head load`);
    }
}

/** What of a picture is classified. */
export function pixelsToClassify({ whole, blob, display, width, height }) {
    return whole ?? (display.width === width && display.height === height ? display : blob);
}

export function forgetWhole(picture) {
    picture.whole?.close();
    delete picture.whole;
}

/** The part of a picture's shorter side that the network sees (docs/specification.md, 4); null: all of both sides. */
export function cropPart() {
    const { imgSize, preprocess: { crop_pct: part } } = theModel();
    if (part)
        return imgSize / Math.floor(imgSize / part);
    return imgSize >= 384 ? null : 0.875;
}

export function lightOfPicture(picture) {
    return (picture.light ??= lightOf(picture.display, LIGHT_SIDE, cropPart()));
}

// ---- The strip ---------------------------------------------------------------------------------

export function remember(pictures) {
    const shown = [...now.views, ...now.asked].map(({ picture }) => picture);
    now.strip = [...pictures, ...now.strip];
    while (now.strip.length > MOST_KEPT) {
        const oldest = now.strip.findLastIndex((picture) => !shown.includes(picture) && !pictures.includes(picture));
        now.strip.splice(oldest, 1)[0].display.close();
    }
}

export function showStrip() {
    const [first, second] = now.views.map(({ picture }) => picture), focus = document.activeElement?.dataset.key;
    const button = (key, name, pressed, ...content) =>
        make("button", { type: "button", "aria-label": name, title: name, "aria-pressed": String(pressed), "data-key": key }, ...content);
    $("strip").replaceChildren(...now.strip.map((picture, i) => {
        picture.thumb ??= drawCrop(make("canvas", { "aria-hidden": "true" }), picture.display, 96, 1).canvas;
        return make("li", { class: picture === first ? "shown" : picture === second ? "second" : "" },
            button(`show ${i}`, `Show ${picture.name}`, picture === first, picture.thumb),
            button(`compare ${i}`, `Compare with ${picture.name}`, picture === second, "compare"));
    }));
    if (focus)
        $("strip").querySelector(`[data-key="${focus}"]`)?.focus({ preventScroll: true });
}
