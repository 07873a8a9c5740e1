// SPDX-License-Identifier: Apache-2.0
// ort.js DIR: runs every model of DIR that ort.c wrote in ONNX Runtime (npm onnxruntime-node). A child does the work, so that a crash there
// is one model's answer.
const fs = require('fs'), cp = require('child_process'), path = require('path');
const [, , root, first, probe] = process.argv;
const kinds = {float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array,
    int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, bool: Uint8Array, float16: Uint16Array};
const folders = fs.readdirSync(root).filter(d => fs.existsSync(path.join(root, d, 'in.json'))).sort();
function view(kind, b) { return new kind(b.buffer.slice(b.byteOffset, b.byteOffset + b.length)); }
async function one(ort, dir) {
    const feeds = {};
    JSON.parse(fs.readFileSync(dir + '/in.json')).forEach((t, i) => {
        if (!kinds[t.type]) throw new Error('no tensors of ' + t.type + ' in JavaScript');
        feeds[t.name] = new ort.Tensor(t.type, view(kinds[t.type], fs.readFileSync(dir + '/in_' + i + '.bin')), t.dims);
    });
    const session = await ort.InferenceSession.create(dir + '/model.onnx', {intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 4});
    const r = await session.run(feeds), out = {};
    for (const name of session.outputNames) {
        const d = r[name].data;
        fs.writeFileSync(dir + '/' + name + '.bin', Buffer.from(d.buffer, d.byteOffset, d.byteLength));
        out[name] = {type: r[name].type, dims: r[name].dims};
    }
    fs.writeFileSync(dir + '/out.json', JSON.stringify(out));
    await session.release();
}
async function work() {
    const ort = require('onnxruntime-node');
    for (let i = +first; i < folders.length; i++) {
        const dir = path.join(root, folders[i]);
        fs.writeFileSync(root + '/at', String(i));
        try { await one(ort, dir); } catch (e) { fs.writeFileSync(dir + '/error.txt', String(e.message || e).replace(/\n/g, ' ') + '\n'); }
    }
}
if (first !== undefined) work();
else
    for (let i = 0; i < folders.length; i++) {
        const r = cp.spawnSync(process.execPath, [__filename, root, String(i)], {stdio: ['ignore', 'inherit', 'ignore']});
        if (r.status === 0) break;
        i = +fs.readFileSync(root + '/at');
        fs.writeFileSync(path.join(root, folders[i], 'error.txt'), 'ONNX Runtime died of ' + (r.signal || r.status) + '\n');
    }
