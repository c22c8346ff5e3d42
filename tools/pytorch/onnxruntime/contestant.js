// ONNX Runtime as a contestant of compare.py, which says what it reads and writes: contestant.js JOB
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const ort = require("onnxruntime-node");

const job = JSON.parse(process.argv[2]);

function say(answer) {
  process.stdout.write(JSON.stringify(answer) + "\n");
}

async function main() {
  const file = fs.readFileSync(job.pixels);
  const pixels = new Float32Array(file.buffer, file.byteOffset, file.byteLength / 4);
  const session = await ort.InferenceSession.create(job.onnx, {
    executionProviders: ["cpu"],
    graphOptimizationLevel: "all",
    intraOpNumThreads: job.threads,
    interOpNumThreads: 1,
  });
  say({ version: ort.env.versions.node });

  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { batch, runs } = JSON.parse(line);
    const shape = [batch, 3, job.size, job.size];
    const feeds = { pixels: new ort.Tensor("float32", pixels.subarray(0, batch * 3 * job.size ** 2), shape) };
    const ms = [];
    let logits;
    for (let i = 0; i < runs; i++) {
      const start = process.hrtime.bigint();
      ({ logits } = await session.run(feeds));
      ms.push(Number(process.hrtime.bigint() - start) / 1e6);
    }
    say({ ms, logits: Array.from(logits.data) });
  }
}

main().catch((error) => {
  say({ error: String(error.message || error) });
  process.exitCode = 1;
});
