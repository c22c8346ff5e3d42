// make_page.mjs - the page in one file, which works from a disk: scripts, WebAssembly, model, head load and samples inside.
// Usage: node make_page.mjs PACKAGE OUTPUT SAMPLE...
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import vm from "node:vm";

const here = dirname(fileURLToPath(import.meta.url));
const [folder, output, ...samples] = process.argv.slice(2);

/* Modules as one classic script, since a page on a disk may not load modules: without their imports and exports, in an order
 * in which each comes behind what it uses. All names must differ. */
function classic(name, files) {
    const text = files.map((file) => readFileSync(file, "utf8")
        .replace(/^import [^;]*;$/gm, "")
        .replace(/^export \{[^}]*\}[^;]*;$/gm, "")
        .replace(/^export /gm, "")).join("\n");
    const names = [...text.matchAll(/^(?:async )?(?:function|class|const|let) (\w+)/gm)].map(([, one]) => one);
    const twice = names.find((one, i) => names.indexOf(one) !== i); // of functions the last one would silently win
    if (twice)
        throw new Error(`${name}: two modules have a ${twice}`);
    const script = `(() => {\n"use strict";\nconst here = "";\n${text}})();\n`;
    new vm.Script(script, { filename: name });
    if (/<\/script|<!--/i.test(script))
        throw new Error(`${name}: would end the element that it stands in`);
    return script;
}

const modules = (...names) => names.map((name) => join(folder, `${name}.js`));
const own = (...names) => names.map((name) => join(here, `${name}.js`));
const script = classic("page", [
    ...modules("errors", "picture", "system", "engine", "index"),
    ...own("elements", "state", "files", "inlined", "drawing", "pictures", "topk", "answers", "profile", "heads", "head_load",
        "head_map", "compute", "camera", "page"),
]);
const worker = classic("worker", modules("errors", "picture", "system", "engine", "worker"));
const helper = classic("helper", modules("system", "helper"));
const style = readFileSync(join(here, "page.css"), "utf8");

const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
const data = (id, file, more = "") =>
    `<script type="application/octet-stream" id="${id}"${more}>${readFileSync(file).toString("base64")}</script>`;

const parts = {
    POLICY: `default-src 'none'; script-src ${hash(script)} 'wasm-unsafe-eval'; style-src ${hash(style)}; worker-src blob:; `
        + "img-src data:; base-uri 'none'; form-action 'none'",
    STYLE: style,
    SCRIPT: script,
    DATA: [
        data("wasm", join(folder, "mohvit.wasm")),
        data("wasm-threads", join(folder, "mohvit_threads.wasm")),
        data("nano", join(folder, "moh_vit_nano.safetensors")),
        data("head-load", join(here, "fashion_mnist.head_load.safetensors")),
        ...samples.map((file, i) => data(`sample-${i}`, file, ` data-sample="${basename(file)}"`)),
        `<script type="text/plain" id="worker">${worker}</script>`,
        `<script type="text/plain" id="helper">${helper}</script>`,
    ].join("\n"),
};
writeFileSync(output, readFileSync(join(here, "index.html"), "utf8").replace(/\{\{(\w+)\}\}/g, (_, name) => parts[name]));
