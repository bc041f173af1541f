// Run ONNX models in a runtime of npm: `node run_onnx.cjs MODULES PACKAGE JOB.json`; jobs as in run_onnx.py.
const fs = require("fs");
const path = require("path");

const [modules, name, job] = process.argv.slice(2);
const home = path.join(modules, name);
const ort = require(home);
const ARRAYS = { int64: BigInt64Array, float32: Float32Array };

function tensor([dtype, shape, file]) {
  const bytes = fs.readFileSync(file);
  return new ort.Tensor(dtype, new ARRAYS[dtype](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)), shape);
}

async function main() {
  if (name === "onnxruntime-web") ort.env.wasm.numThreads = 1;
  const sessions = new Map();
  for (const run of JSON.parse(fs.readFileSync(job))) {
    if (!sessions.has(run.model)) {
      const options = name === "onnxruntime-web" ? { executionProviders: ["wasm"] } : {};
      sessions.set(run.model, await ort.InferenceSession.create(fs.readFileSync(run.model), options));
    }
    const feeds = Object.fromEntries(Object.entries(run.inputs).map(([key, value]) => [key, tensor(value)]));
    const found = await sessions.get(run.model).run(feeds);
    for (const [key, [, file]] of Object.entries(run.outputs)) fs.writeFileSync(file, new Uint8Array(found[key].data.buffer, found[key].data.byteOffset, found[key].data.byteLength));
  }
  console.log(JSON.parse(fs.readFileSync(path.join(home, "package.json"))).version);
}

main().catch((error) => { console.error(error); process.exit(1); });
