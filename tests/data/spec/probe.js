// SPDX-License-Identifier: Apache-2.0
// probe.js LIST: asks ONNX Runtime (npm onnxruntime-node, in NODE_PATH) what the schemas it was built with say. LIST has lines
// "domain:operator version attribute attribute …"; one line of JSON is printed for each: versions, numbers of operands, which of the
// attributes there are, and which element types each operand may have. It is found out from the errors that models of one node give.
const ort = require('onnxruntime-node'), fs = require('fs');
const varint = n => { const o = []; n = BigInt.asUintN(64, BigInt(n)); do { const b = Number(n & 127n); n >>= 7n; o.push(n ? b | 128 : b); } while (n); return Buffer.from(o); };
const cat = (...x) => Buffer.concat(x), tag = (f, w) => varint(f * 8 + w);
const int = (f, n) => cat(tag(f, 0), varint(n)), bytes = (f, b) => { b = Buffer.from(b); return cat(tag(f, 2), varint(b.length), b); };
const one = cat(tag(2, 5), Buffer.from([0, 0, 128, 63])), tensor = cat(int(1, 1), int(2, 1), bytes(9, Buffer.alloc(4)));
const kinds = {FLOAT: [1, one], INT: [2, int(3, 1)], STRING: [3, bytes(4, 'NONE')], TENSOR: [4, bytes(5, tensor)], GRAPH: [5, bytes(6, bytes(2, 'g'))],
    FLOATS: [6, cat(tag(7, 5), Buffer.from([0, 0, 128, 63]))], INTS: [7, int(8, 1)], STRINGS: [8, bytes(9, 'a')], GRAPHS: [10, bytes(11, bytes(2, 'g'))],
    TYPE_PROTO: [13, bytes(14, bytes(1, int(1, 1)))], SPARSE_TENSOR: [11, bytes(22, bytes(1, tensor))]};
const attribute = (name, kind) => cat(bytes(1, name), kinds[kind][1], int(20, kinds[kind][0]));
async function ask(domain, op, version, types, attrs) {
    const node = cat(...types.map((t, i) => bytes(1, 'x' + i)), bytes(2, 'y'), bytes(4, op), ...attrs.map(a => bytes(5, a)), bytes(7, domain));
    const graph = cat(bytes(1, node), bytes(2, 'g'), ...types.map((t, i) => bytes(11, cat(bytes(1, 'x' + i), bytes(2, bytes(1, int(1, t)))))), bytes(12, bytes(1, 'y')));
    const sets = [domain ? 26 : version].map(v => bytes(8, int(2, v))).concat(domain ? [bytes(8, cat(bytes(1, domain), int(2, version)))] : []);
    try {
        const s = await ort.InferenceSession.create(cat(int(1, 10), bytes(7, graph), ...sets), {logSeverityLevel: 4, graphOptimizationLevel: 'disabled'});
        await s.release();
        return '';
    } catch (e) { return String(e.message); }
}
async function schema(domain, op, version, names) {
    const o = {domain, op, version, attrs: {}, operands: []}, range = /schema\(.*:(\d+)\) has input size \d+ not in range \[min=(\d+), max=(\d+)\]/;
    let m = (await ask(domain, op, version, Array(40).fill(1), [])).match(range) || (await ask(domain, op, version, [], [])).match(range);
    if (!m) return null;
    o.version = +m[1], o.least = +m[2], o.most = +m[3] > 40 ? -1 : +m[3];
    const least = Array(o.least).fill(1), attrs = [];
    for (const n of names)
        if (m = (await ask(domain, op, version, least, [attribute(n, 'GRAPHS')])).match(/Mismatched attribute type in '[^']*'. Expected: '(\w+)'/)) o.attrs[n] = {type: m[1]};
    while ((m = (await ask(domain, op, version, least, attrs)).match(/Required attribute '(\w+)' is missing/)) && attrs.length < 20) {
        (o.attrs[m[1]] ??= {type: 'INT'}).required = true;
        attrs.push(attribute(m[1], o.attrs[m[1]].type));
    }
    for (let i = 0, chosen = []; i < (o.most < 0 ? o.least + 1 : Math.min(o.most, 16)); i++) {
        const types = [];
        for (let t = 1; t <= 26; t++) {
            const e = await ask(domain, op, version, [...chosen, t, ...Array(Math.max(0, o.least - i - 1)).fill(t)], attrs);
            const bad = e.match(/Type '[^']*' of input parameter \(x(\d+)\)/);
            if (!/not currently registered/.test(e) && !(bad && +bad[1] <= i)) types.push(t);
        }
        chosen.push(types.includes(1) ? 1 : types[0] || 1), o.operands.push(types);
    }
    return o;
}
(async () => {
    for (const line of fs.readFileSync(process.argv[2], 'utf8').trim().split('\n')) {
        const [name, version, ...attrs] = line.split(' '), [domain, op] = name.split(':');
        const o = await schema(domain, op, +version, attrs);
        if (o) console.log(JSON.stringify(o));
    }
})();
