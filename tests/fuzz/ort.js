// SPDX-License-Identifier: Apache-2.0
// ort.js DIR: runs every model of DIR that ort.c wrote in ONNX Runtime (npm onnxruntime-node). A child does the work, so that a crash there
// is one model's answer.
const fs = require('fs'), cp = require('child_process'), path = require('path');
const [, , root, first] = process.argv;
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
const at = root + '/at';
function parent(from) { // a model that takes long is given up
    if (from >= folders.length) return;
    const child = cp.spawn(process.execPath, [__filename, root, String(from)], {stdio: ['ignore', 'inherit', 'ignore']});
    let seen = '', since = Date.now();
    const watch = setInterval(() => {
        const now = fs.existsSync(at) ? fs.readFileSync(at, 'utf8') : '';
        if (now !== seen) seen = now, since = Date.now();
        else if (Date.now() - since > 20000) child.kill('SIGKILL');
    }, 1000);
    child.on('exit', (code, signal) => {
        clearInterval(watch);
        if (code === 0) return;
        if (!fs.existsSync(at)) throw new Error('ONNX Runtime does not start; is onnxruntime-node in NODE_PATH?');
        const i = +fs.readFileSync(at);
        fs.writeFileSync(path.join(root, folders[i], 'error.txt'), 'ONNX Runtime died of ' + (signal || code) + '\n');
        parent(i + 1);
    });
}
if (first !== undefined) work();
else parent(0);
