#!/usr/bin/env node
// Usage: serve [PAGE [PORT]]
// Serves the page to this machine, with the headers that isolate it from other pages. Only an isolated page has
// SharedArrayBuffer, and so threads. PAGE defaults to build/web/bindings/web/demo/mohvit.html, PORT to 8080; 0 is any free port.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const [page = join(root, "build/web/bindings/web/demo/mohvit.html"), port = "8080"] = process.argv.slice(2);
const headers = {
    "Content-Type": "text/html; charset=utf-8",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
};

let content;
try {
    content = readFileSync(page);
} catch (error) {
    console.error(`serve: ${page}: ${error.message}\nTo build it: cmake --preset web && cmake --build --preset web`);
    process.exit(1);
}
const server = createServer(({ url, method }, response) => {
    const known = url === "/" && (method === "GET" || method === "HEAD");
    response.writeHead(known ? 200 : 404, known ? headers : {});
    response.end(known && method === "GET" ? content : undefined);
});
server.on("error", (error) => {
    console.error(`serve: ${error.message}`);
    process.exit(1);
});
server.listen(Number(port), "127.0.0.1", () => console.log(`http://localhost:${server.address().port}/`));
