// The npm package in node: what it answers is held against the golden files and the program, and each class of error is met.
// Usage: PACKAGE=folder of the package GOLDEN=tests/golden MOHVIT=the program node --test web.test.mjs
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { deflateSync } from "node:zlib";

const { GOLDEN, MOHVIT, PACKAGE } = process.env;
const mohvit = await import(pathToFileURL(join(PACKAGE, "index.js")));
const { load } = mohvit;

// ---- What the tests are made of ----------------------------------------------------------------

/* A golden file: its metadata, and its tensors as typed arrays. */
function readGolden(name) {
    const bytes = readFileSync(join(GOLDEN, name));
    const length = Number(bytes.readBigUInt64LE(0)), data = 8 + length;
    const { __metadata__: metadata, ...tensors } = JSON.parse(bytes.subarray(8, data));
    const kinds = { F32: Float32Array, I32: Int32Array };
    return {
        config: metadata.config, seed: Number(metadata.seed), batch: Number(metadata.batch ?? 1),
        ...Object.fromEntries(Object.entries(tensors).map(([key, { dtype, data_offsets: [from, to] }]) =>
            [key, new kinds[dtype](bytes.buffer.slice(bytes.byteOffset + data + from, bytes.byteOffset + data + to))])),
    };
}

/* The deterministic input of golden files: a picture of a batch (spec 6). */
function goldenInput(seed, picture, size) {
    const mask = (1n << 64n) - 1n, count = 3 * size * size, values = new Float32Array(count);
    let key = 0xCBF29CE484222325n;
    for (const byte of Buffer.from("input"))
        key = ((key ^ BigInt(byte)) * 0x100000001B3n) & mask;
    key ^= BigInt(seed);
    for (let i = 0; i < count; i++) {
        let z = (key + BigInt(picture * count + i + 1) * 0x9E3779B97F4A7C15n) & mask;
        z = ((z ^ (z >> 30n)) * 0xBF58476D1CE4E5B9n) & mask;
        z = ((z ^ (z >> 27n)) * 0x94D049BB133111EBn) & mask;
        z ^= z >> 31n;
        values[i] = 2 * (Number(z >> 40n) * 2 ** -23 - 1);
    }
    return values;
}

function assertNear(found, expected, tolerance) {
    assert.equal(found.length, expected.length);
    const off = found.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
    assert.ok(off <= tolerance, `off by ${off}`);
}

async function assertGolden(model, { seed, batch, logits, head_tokens: tokens }) {
    for (let i = 0; i < batch; i++) {
        const answer = await model.classify({ tensor: goldenInput(seed, i, model.imgSize) });
        const { length } = answer.logits, cells = answer.headTokens.length;
        assertNear(answer.logits, logits.subarray(i * length, (i + 1) * length), 1e-4);
        if (tokens)
            assert.deepEqual(answer.headTokens, tokens.slice(i * cells, (i + 1) * cells));
    }
}

/* A picture of smooth colours with edges in it. */
function somePicture(width, height, channels) {
    const data = new Uint8Array(width * height * channels).fill(255);
    for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++)
            for (let c = 0; c < 3; c++)
                data[(y * width + x) * channels + c] =
                    128 + 100 * Math.sin(x / (7 + c)) * Math.cos(y / 11) * ((x ^ y) & 32 ? 1 : -1);
    return { data, width, height };
}

function crc32(bytes) {
    let crc = ~0;
    for (const byte of bytes) {
        crc ^= byte;
        for (let k = 0; k < 8; k++)
            crc = crc & 1 ? (crc >>> 1) ^ 0xEDB88320 : crc >>> 1;
    }
    return ~crc >>> 0;
}

/* An opaque picture as a PNG. */
function encodePng({ data, width, height }) {
    const rows = Buffer.alloc(height * (1 + 3 * width)), head = Buffer.alloc(13);
    for (let y = 0; y < height; y++)
        rows.set(data.subarray(3 * width * y, 3 * width * (y + 1)), y * (1 + 3 * width) + 1);
    head.writeUInt32BE(width, 0);
    head.writeUInt32BE(height, 4);
    head.set([8, 2], 8);
    const chunk = (type, content) => {
        const body = Buffer.concat([Buffer.from(type), content]), frame = Buffer.alloc(8);
        frame.writeUInt32BE(content.length, 0);
        frame.writeUInt32BE(crc32(body), 4);
        return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
    };
    return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head),
        chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]);
}

const rejects = (promise, kind, message) => assert.rejects(promise, (error) => {
    assert.equal(error.name, kind);
    assert.ok(error instanceof mohvit[kind] && error instanceof mohvit.MohvitError);
    assert.match(error.message, message);
    return true;
});

// ---- Answers -----------------------------------------------------------------------------------

test("golden files: logits within 1e-4, head counts equal", async () => {
    const tiny = readGolden("tiny_trace.safetensors");
    await assertGolden(await load({ seed: tiny.seed }, { config: tiny.config }), tiny);
    const small = readGolden("moh_transnext_small_75.safetensors");
    await assertGolden(await load({ variant: "moh_transnext_small_75", seed: small.seed }), small);
});

test("a .pth gives the answers of PyTorch, in whatever form it was saved", async () => {
    const golden = readGolden("pth/golden.safetensors"), config = readFileSync(join(GOLDEN, "pth/config.json"), "utf8");
    for (const name of ["plain", "training", "strided", "module_prefix", "shared_storage"]) {
        const model = await load(join(GOLDEN, "pth", `${name}.pth`), { config });
        assert.equal(model.variant, "custom");
        await assertGolden(model, golden);
    }
});

test("pixels are resized and cropped as the program does", async () => {
    const folder = mkdtempSync(join(tmpdir(), "mohvit-web-"));
    try {
        const model = await load();
        for (const [width, height] of [[300, 200], [64, 91], [20, 20]]) {
            const picture = somePicture(width, height, 3);
            writeFileSync(join(folder, "x.png"), encodePng(picture));
            const said = JSON.parse(execFileSync(MOHVIT,
                ["classify", "--top", "10", "--format", "json", join(folder, "x.png")], { stdio: ["ignore", "pipe", "ignore"] }));
            const { top } = await model.classify(picture, { top: 10 });
            assert.deepEqual(top.map(({ label }) => label), said.top.map(({ label }) => label));
            assertNear(top.map(({ probability }) => probability), said.top.map(({ prob }) => prob), 1e-5);
            const { logits } = await model.classify(picture), rgba = somePicture(width, height, 4);
            assert.deepEqual((await model.classify(rgba)).logits, logits); // what follows red, green and blue is dropped
            assert.deepEqual((await model.classify({ ...rgba, data: new Uint8ClampedArray(rgba.data) })).logits, logits);
        }
    } finally {
        rmSync(folder, { recursive: true });
    }
});

test("gates, counts and sums tell the same", async () => {
    const model = await load();
    const answer = await model.classify(somePicture(96, 96, 3));
    assert.equal(answer.features.length, model.featureCount);
    assert.equal(answer.top.length, 5);
    assert.equal(answer.logits.length, model.classes.length);
    assert.equal(model.classes[9].label, "Ankle boot");
    model.blocks.forEach(({ tokens, heads, shared, routed }, block) => {
        const gates = answer.gates(block), at = block * model.maxHeads;
        assert.deepEqual([gates.tokens, gates.heads, gates.side ** 2], [tokens, heads, tokens]);
        for (let head = 0; head < model.maxHeads; head++) {
            const own = head < heads ? Array.from({ length: tokens }, (_, t) => gates.values[t * heads + head]) : [];
            assert.equal(answer.headTokens[at + head], head < heads ? own.filter((gate) => gate > 0).length : -1);
            assertNear([answer.headGateSum[at + head]], [own.reduce((sum, gate) => sum + gate, 0)], 1e-6);
        }
        const counts = answer.headTokens.slice(at, at + heads);
        assert.equal(counts.reduce((sum, count) => sum + count), tokens * (shared + routed));
    });
});

test("top-k is set at run time, and answers are those of a model that was opened so", async () => {
    const model = await load(), picture = somePicture(50, 70, 3);
    const trained = await model.classify(picture), routed = model.blocks.map((block) => block.routed);
    await model.setRoutedHeads(1);
    assert.ok(model.blocks.every((block) => block.routed <= 1));
    assert.equal(model.routedHeads, 1);
    const fewer = await model.classify();
    assert.notDeepEqual(fewer.logits, trained.logits);
    assert.deepEqual(fewer.logits, (await (await load(undefined, { routedHeads: 1 })).classify(picture)).logits);
    await model.setRoutedHeads("100%");
    assert.ok(model.blocks.every(({ heads, shared, routed: now }) => now === heads - shared));
    await rejects(model.setRoutedHeads("many"), "ArgumentError", /routed heads "many"/);
    assert.equal(model.routedHeads, "100%");
    await model.setRoutedHeads(null);
    assert.deepEqual(model.blocks.map((block) => block.routed), routed);
    assert.deepEqual((await model.classify()).logits, trained.logits);
});

test("models come from places, bytes and other precisions", async () => {
    const place = join(PACKAGE, "moh_vit_nano.safetensors"), picture = somePicture(64, 64, 3);
    const { logits } = await (await load()).classify(picture);
    for (const source of [place, pathToFileURL(place), readFileSync(place), new Uint8Array(readFileSync(place)).buffer])
        assert.deepEqual((await (await load(source, { wasm: join(PACKAGE, "mohvit.wasm") })).classify(picture)).logits, logits);
    const wasm = await WebAssembly.compile(readFileSync(join(PACKAGE, "mohvit.wasm")));
    for (const [precision, tolerance] of [["bf16", 0.3], ["int8", 1], ["f16", 0.05]]) {
        const model = await load(undefined, { precision, wasm });
        assert.equal(model.provenance.precision, precision);
        assertNear((await model.classify(picture)).logits, logits, tolerance);
    }
});

test("a head load of the program's is opened, counted on and saved, and the program reads that", async () => {
    const folder = mkdtempSync(join(tmpdir(), "mohvit-web-")), run = (...options) => execFileSync(MOHVIT, options,
        { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    try {
        const model = await load(), picture = somePicture(64, 91, 3), counted = join(folder, "counted");
        mkdirSync(join(folder, "data"));
        mkdirSync(join(folder, "data", "9"));
        writeFileSync(join(folder, "data", "9", "x.png"), encodePng(picture));
        run("headload", "count", "--classes-by-number", join(folder, "data"), "-o", counted);
        const opened = await model.openHeadLoad(counted), own = await model.openHeadLoad();
        assert.deepEqual([opened.images, own.images, own.maxHeads], [1, 0, model.maxHeads]);
        assert.deepEqual([own.blocks, own.classes], [model.blocks, model.classes]);
        const answer = await model.classify(picture);
        await own.add(9);
        assert.equal(own.images, 1);
        const theirs = await opened.ofClass(9), ours = await own.ofClass(9), none = await own.ofClass(0);
        assert.deepEqual(ours.active, Float64Array.from(answer.headTokens));
        assert.deepEqual(theirs.active, ours.active);
        assert.deepEqual(theirs.tokens, ours.tokens);
        assert.deepEqual([...ours.tokens], model.blocks.map(({ tokens }) => tokens));
        assertNear(ours.gateSum, answer.headGateSum, 1e-6);
        assertNear(theirs.gateSum, ours.gateSum, 1e-3);
        assert.deepEqual([none.images, ...none.tokens], [0, ...none.tokens.fill(0)]);

        await rejects(opened.merge(own), "MismatchError", /isa|instruction|backend/i);
        await opened.merge(own, { allowMixed: true });
        assert.equal((await opened.ofClass(9)).images, 2);
        await opened.add(0);
        const saved = await opened.save();
        writeFileSync(join(folder, "saved"), saved);
        const { rows } = JSON.parse(run("headload", "export", join(folder, "saved"), "--json"));
        const { active, tokens } = await opened.ofClass(9);
        const row = rows.find(({ class: index, stage, block, head }) => index === 9 && `${stage}.${block}` === model.blocks[0].name && head === 0);
        assert.deepEqual([row.images, row.active, row.tokens], [2, active[0], tokens[0]]);
        assert.deepEqual(await (await model.openHeadLoad(saved)).save(), saved);

        await rejects(opened.add(10), "ArgumentError", /class 10 of a model of 10/);
        await rejects(opened.ofClass(-1), "ArgumentError", /class -1/);
        await rejects(opened.merge(await (await load()).openHeadLoad()), "ArgumentError", /not of this model/);
        await rejects(model.openHeadLoad(7), "ArgumentError", /a head load is/);
        await rejects(model.openHeadLoad(saved.subarray(0, 900)), "FormatError", /head load in memory/);
        await rejects(model.openHeadLoad(join(PACKAGE, "moh_vit_nano.safetensors")), "FormatError", /is a checkpoint/);
        await rejects(model.openHeadLoad(join(folder, "nowhere")), "FileError", /nowhere/);
        await model.setRoutedHeads(1);
        await model.classify();
        await rejects(own.add(9), "MismatchError", /of another model/);
        await own.close();
        await own.close(); // does nothing
        await rejects(own.save(), "ArgumentError", /was closed/);
        model.close();
        await rejects(opened.save(), "SystemFailure", /the model was closed/);
    } finally {
        rmSync(folder, { recursive: true });
    }
});

test("threads give the same bits", async () => {
    const source = { variant: "moh_transnext_small_75", seed: 3 }, options = { imgSize: 64 };
    const alone = await load(source, options), team = await load(source, { ...options, threads: 3 });
    assert.deepEqual([alone.threads, team.threads], [1, 3]);
    assert.equal((await load(undefined, { threads: 3 })).threads, 1); // not worth it
    const tensor = goldenInput(3, 0, 64);
    const expected = await alone.classify({ tensor });
    for (let turn = 0; turn < 3; turn++) {
        const found = await team.classify({ tensor });
        assert.deepEqual(found.logits, expected.logits);
        assert.deepEqual(found.headTokens, expected.headTokens);
        assert.deepEqual(found.gates(3), expected.gates(3));
    }
    await team.setRoutedHeads("50%");
    await alone.setRoutedHeads("50%");
    assert.deepEqual((await team.classify()).logits, (await alone.classify()).logits);
    team.close();
    await rejects(load(undefined, { threads: 65 }), "ArgumentError", /65 threads; expected 0 to 64/);
});

test("the types name what the package exports, and the program that checks them uses all of it", () => {
    const types = readFileSync(join(PACKAGE, "index.d.ts"), "utf8"), program = readFileSync(new URL("web_types.ts", import.meta.url), "utf8");
    const names = [...types.matchAll(/^export (interface|type|class|function) (\w+)/gm)];
    const values = names.filter(([, kind]) => kind === "class" || kind === "function").map(([, , name]) => name);
    assert.deepEqual(values.sort(), Object.keys(mohvit).sort());
    for (const [, , name] of names)
        assert.match(program, new RegExp(`\\b${name}\\b`));
});

test("the modules are small", () => {
    for (const name of ["mohvit.wasm", "mohvit_threads.wasm"]) {
        const { size } = statSync(join(PACKAGE, name));
        assert.ok(size <= 400_000, `${name}: ${size} bytes`);
    }
});

// ---- Errors ------------------------------------------------------------------------------------

const nano = () => new Uint8Array(readFileSync(join(PACKAGE, "moh_vit_nano.safetensors")));

test("pictures and options that make no sense are ArgumentErrors", async () => {
    const model = await load();
    await rejects(model.classify(), "ArgumentError", /no picture was given/);
    const wrong = [{ data: new Uint8Array(10), width: 2, height: 2 }, { data: new Uint8Array(12), width: 2.5, height: 2 },
        { data: new Uint8Array(0), width: 0, height: 0 }, { data: [1, 2, 3], width: 1, height: 1 }, {}, "cat.png",
        { tensor: new Float32Array(3) }, { tensor: [1] }];
    for (const picture of wrong)
        await rejects(model.classify(picture), "ArgumentError", /picture|pixels|tensor/);
    await rejects(model.classify(somePicture(8, 8, 3), { top: -1 }), "ArgumentError", /top -1/);
    await rejects(load(7), "ArgumentError", /a model is/);
    await rejects(load(undefined, { precision: "f64" }), "ArgumentError", /f64/);
    await rejects(load({ variant: "resnet" }), "ArgumentError", /resnet/);
    await rejects(load(undefined, { imgSize: "large" }), "ArgumentError", /imgSize large/);
    const answer = await model.classify(somePicture(8, 8, 3));
    assert.throws(() => answer.gates(99), mohvit.ArgumentError);
    assert.equal((await model.classify(somePicture(8, 8, 3))).top.length, 5); // and goes on after all that
});

test("files that are missing, damaged or of another kind say so", async () => {
    const config = readFileSync(join(GOLDEN, "pth/config.json"), "utf8");
    await rejects(load(join(GOLDEN, "nowhere.pth")), "FileError", /nowhere\.pth/);
    const flipped = readFileSync(join(GOLDEN, "pth/plain.pth"));
    flipped[30000] ^= 1;
    await rejects(load(flipped, { config }), "FormatError", /CRC error/);
    await rejects(load(nano().subarray(0, 5000)), "FormatError", /./);
    await rejects(load(new TextEncoder().encode("not a checkpoint")), "FormatError", /./);
    await rejects(load(undefined, { config: "{" }), "FormatError", /^config: /);
    const legacy = Buffer.from("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.", "latin1");
    await rejects(load(legacy), "UnsupportedError", /torch\.save/);
    await rejects(load(undefined, { config }), "MismatchError", /names 10 classes; the model has 5/);
    const crowded = new Uint8Array(26); // a zip that says that it has 65535 entries
    crowded.set(new TextEncoder().encode("PK\x03\x04PK\x05\x06"));
    crowded.fill(255, 12, 16);
    await rejects(load(crowded), "LimitError", /65535 entries; at most 32768/);
});

test("a model that is closed ends what waits for it", async () => {
    const silent = { postMessage() {}, terminate() {} }; // a Worker that never answers
    await rejects(load(undefined, { worker: { ...silent, postMessage() { this.onerror({ message: "no such file" }); } } }),
        "SystemFailure", /the Worker failed: no such file/);
});

const WORTH_THREADS = { // 0.11 GMAC: those of less than 0.1 have none
    embed_dims: [32, 48, 64, 96], num_heads: [2, 2, 4, 8], mlp_ratios: [2, 2, 2, 2], depths: [1, 1, 1, 1], sr_ratios: [8, 4, 2, 1],
    shared_head: [2, 0, 1, 2], routed_head: [0, 1, 2, 3], num_classes: 5, img_size: 224,
};

/* A process of its own tells how a model with helpers answers: one that waits for ever waits there. helper: its script. */
function answerWithHelper(helper) {
    const folder = mkdtempSync(join(tmpdir(), "mohvit-web-")), script = join(folder, "helper.mjs"), index = pathToFileURL(join(PACKAGE, "index.js"));
    try {
        writeFileSync(script, helper);
        const { stdout, stderr, error } = spawnSync(process.execPath, ["--input-type=module", "-e", `
            import { load } from ${JSON.stringify(index)};
            const say = (error) => console.log(error.name, error.message);
            const model = await load({ seed: 0 }, { config: ${JSON.stringify(WORTH_THREADS)}, threads: 2, helper: ${JSON.stringify(pathToFileURL(script))} });
            const tensor = new Float32Array(3 * 224 * 224);
            let failed = false;
            for (let turn = 0; !failed && turn < 100; turn++)
                await model.classify({ tensor }).catch((error) => failed = say(error) ?? true);
            await model.classify({ tensor }).catch(say);`], { encoding: "utf8", timeout: 60_000 });
        return error ? String(error) : stdout || stderr;
    } finally {
        rmSync(folder, { recursive: true });
    }
}

test("a thread that fails is an error, and nothing waits for it", () => {
    const real = JSON.stringify(pathToFileURL(join(PACKAGE, "helper.js")));
    const helperThatGets = (changed) => `
        import { parentPort } from "node:worker_threads";
        const { on } = parentPort;
        parentPort.on = (name, take) => on.call(parentPort, name, (message) => take({ ...message, ${changed} }));
        await import(${real});`;
    // So small a stack that waiting works and computing traps.
    assert.match(answerWithHelper(helperThatGets("stack: 256")), /^(SystemFailure the engine stopped in web_run: .+\n){2}$/);
    assert.match(answerWithHelper(helperThatGets("memory: undefined")), /SystemFailure: a thread could not be started: .+memory/);
    assert.match(answerWithHelper("throw new Error('not today')"), /SystemFailure: a thread could not be started: not today/);
});

test("a lack of memory is an error, and answers that are no numbers are", async () => {
    await rejects(load(new ArrayBuffer(4_290_000_000)), "OutOfMemoryError", /no memory for 4290000000 bytes/);
    const bytes = nano(), length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    new DataView(bytes.buffer).setUint16(8 + length + header["head.bias"].data_offsets[0] + 2, 0x7FC0, true); // a NaN's upper half
    const model = await load(bytes);
    await rejects(model.classify(somePicture(8, 8, 3)), "NonFiniteError", /./);
});

/* What a page shows of JavaScript, with pixels for its file. Gives what the names in `wanted` are then. */
function runLines(page, wanted) {
    const lines = [...readFileSync(page, "utf8").matchAll(/^```js\n(.*?)^```$/gms)].map(([, text]) => text).join("");
    assert.match(lines, /^import \{ load \} from "mohvit";$/m);
    const open = lines.replace(/^import .*/m, "").replace(/^model\.close\(\);$/m, ""); // later lines go on with the model
    const run = new (async () => {}).constructor("load", "file", `${open}return [${wanted}];`);
    return run(load, { data: new Uint8Array(64 * 64 * 4), width: 64, height: 64 });
}

test("the lines of README.md, and of the package's, give what they say", async () => {
    const [top] = await runLines(join(GOLDEN, "../../README.md"), "answer.top");
    assert.equal(top.length, 5);
    const [answer, again, heads, values, tokens, active, bytes] =
        await runLines(join(PACKAGE, "README.md"), "answer, again, heads, values, tokens, active, bytes");
    assert.notDeepEqual(again.logits, answer.logits);
    assert.equal(values.length % heads, 0);
    assert.deepEqual(active, Float64Array.from(again.headTokens));
    assert.ok(tokens.every((count) => count > 0) && bytes.length > 1000);
});
