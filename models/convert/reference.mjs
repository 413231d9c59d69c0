// Makes reference.json: outputs of the published graph, computed by TensorFlow.js itself (pure JavaScript backend),
// independently of centernet.py. Run once by hand; see README.md.
//
//   npm install --no-save @tensorflow/tfjs@4.22.0
//   node reference.mjs centernet.json reference.json
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as tf from '@tensorflow/tfjs';

const [jsonPath, outPath] = process.argv.slice(2);
if (!outPath) {
  console.error('usage: node reference.mjs centernet.json reference.json');
  process.exit(2);
}

// The same picture as synthetic.py, integer arithmetic only.
const FIGURES = [[90, 60, 260], [300, 150, 180], [210, 20, 120], [410, 90, 300]];
const div = (a, b) => Math.floor(a / b);
function picture(width, height) {
  const out = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) {
        const ground = 110 + 12 * c + div(x * 40, width) - div(y * 30, height);
        let value = ground + ((x * 7919 + y * 104729 + x * y * 31 + c * 17) % 23) - 11;
        FIGURES.forEach(([left, top, tall], n) => {
          const x0 = div(left * width, 512);
          const y0 = div(top * height, 512);
          const h = div(tall * height, 512);
          const w = div(h * 2, 5);
          const u = div((x - x0) * 1000, Math.max(w, 1));
          const v = div((y - y0) * 1000, Math.max(h, 1));
          if ((u - 500) ** 2 * 4 + (v - 85) ** 2 * 25 < 150000) value = 205 - 30 * c;
          if (v >= 160 && v < 540 && u >= 180 && u < 820) value = (60 + 50 * n + 70 * c) % 200;
          if (v >= 540 && v < 1000 && ((u >= 230 && u < 470) || (u >= 530 && u < 770))) value = 35 + 15 * c + 5 * n;
        });
        out[(y * width + x) * 3 + c] = Math.min(255, Math.max(0, value));
      }
    }
  }
  return out;
}

// The graph is published for 512 x 512: the sizes its three up-samplings produce are constants. For another input
// size they are the only numbers that have to change.
function load(width, height) {
  const model = JSON.parse(readFileSync(jsonPath, 'utf8'));
  const specs = model.weightsManifest.flatMap((group) => group.weights);
  const data = Buffer.concat(model.weightsManifest.flatMap((group) =>
    group.paths.map((path) => readFileSync(join(dirname(jsonPath), path)))));
  const parts = [];
  let at = 0;
  for (const spec of specs) {
    const end = at + spec.shape.reduce((a, b) => a * b, 1) * (spec.quantization ? 2 : 4);
    let bytes = Buffer.from(data.subarray(at, end));
    at = end;
    const upSampling = /(c[543])_upsample\/up_sampling2d(_[12])?\/mul$/.exec(spec.name);
    if (upSampling) {
      const stride = { c5: 16, c4: 8, c3: 4 }[upSampling[1]];
      bytes.writeInt32LE(height / stride, 0);
      bytes.writeInt32LE(width / stride, 4);
    } else if (spec.quantization && spec.shape.length === 0 && bytes.readUInt16LE(0) === 0x3155) {
      // 1/6 of the hard swish and hard sigmoid, rounded to float16 (0.16663): restored, as in centernet.py.
      bytes = Buffer.alloc(4);
      bytes.writeFloatLE(1 / 6, 0);
      delete spec.quantization;
    }
    parts.push(bytes);
  }
  const whole = Buffer.concat(parts);
  const shape = model.modelTopology.node.find((n) => n.op === 'Placeholder').attr.shape.shape.dim;
  shape[1].size = String(height);
  shape[2].size = String(width);
  model.signature.inputs['tower_0/images'].tensorShape.dim = shape;
  const weightData = whole.buffer.slice(whole.byteOffset, whole.byteOffset + whole.length);
  return tf.loadGraphModel({
    load: async () => ({
      modelTopology: model.modelTopology, format: model.format, signature: model.signature, weightSpecs: specs, weightData,
    }),
  });
}

await tf.setBackend('cpu');
const cases = [];
for (const [width, height] of [[512, 512], [384, 288]]) {
  const model = await load(width, height);
  const pixels = picture(width, height);
  const input = tf.tensor4d(Float32Array.from(pixels), [1, height, width, 3]);
  // The cut is the same as in centernet.py, one node earlier for the heat map: the logit, before its sigmoid.
  const outputs = ['tower_0/CenternetHead/centernet_cls_output/BiasAdd', 'tower_0/wh'];
  const [logits, sizes] = model.execute(input, outputs).map((t) => t.arraySync()[0]);
  const cells = [];
  for (let y = 0; y < height / 4; y++) {
    for (let x = 0; x < width / 4; x++) cells.push({ x, y, logit: logits[y][x][0], size: sizes[y][x] });
  }
  const round = (v) => Number(v.toPrecision(8));
  // Every 37th cell, the border's corners, and the twenty strongest.
  const strongest = new Set([...cells].sort((a, b) => b.logit - a.logit).slice(0, 20));
  const samples = cells
    .filter((c, i) => i % 37 === 0 || strongest.has(c) || ((c.x === 0 || c.x === width / 4 - 1) && (c.y === 0 || c.y === height / 4 - 1)))
    .map((c) => ({ x: c.x, y: c.y, logit: round(c.logit), size: c.size.map(round) }));
  cases.push({ width, height, picture_sha256: createHash('sha256').update(pixels).digest('hex'), samples });
  console.error(`${width} x ${height}: ${samples.length} samples, strongest logit ${Math.max(...samples.map((s) => s.logit))}`);
}
const head = {
  made_by: `reference.mjs, @tensorflow/tfjs ${tf.version.tfjs}, cpu backend`,
  graph_sha256: createHash('sha256').update(readFileSync(jsonPath)).digest('hex'),
  tolerance: { heat: 0.001, size: 0.005 },
};
const body = cases.map((c) => {
  const { samples, ...rest } = c;
  return `${JSON.stringify(rest).slice(0, -1)},"samples":[\n${samples.map((s) => JSON.stringify(s)).join(',\n')}\n]}`;
});
writeFileSync(outPath, `${JSON.stringify(head).slice(0, -1)},"cases":[\n${body.join(',\n')}\n]}\n`);
