// elements.js - what the page is made of: elements, bars, numbers as they are written, and what is said.

export const $ = (id) => document.getElementById(id);
export const root = document.documentElement;

const SVG = new Set(["svg", "line", "path", "circle", "text", "rect"]);

/** An element. What came from files is set as text or as an attribute, and so never as markup. */
export function make(tag, attributes = {}, ...children) {
    const element = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes))
        element.setAttribute(name, value);
    element.append(...children);
    return element;
}

/** A bar: how much of its track is filled, 0 … 1. */
export function bar(part, colour) {
    const fill = make("span", { class: part > 0 ? "fill" : "fill none" });
    fill.style.width = `${100 * Math.min(1, Math.max(0, part))}%`;
    if (colour)
        fill.style.background = colour;
    return make("span", { class: "track", "aria-hidden": "true" }, fill);
}

export function percent(part) {
    return `${(100 * part).toFixed(part < 0.9995 && part >= 0.0005 ? 1 : 0)} %`;
}

export function wholePercent(part) {
    return `${Math.round(100 * part)} %`;
}

export function grouped(number) {
    return String(number).replace(/\B(?=(\d{3})+$)/g, "\u00a0");
}

/** Without its synonyms. */
export function shortLabel(label) {
    const comma = label.indexOf(",");
    return comma > 0 ? label.slice(0, comma) : label;
}

export function listOf(words) {
    return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`;
}

export function say(text) {
    $("status").textContent = text;
}

export function showProblem(text) {
    $("problem-text").textContent = text;
    $("problem").hidden = !text;
}
