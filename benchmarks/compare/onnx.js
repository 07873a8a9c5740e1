// SPDX-License-Identifier: Apache-2.0
// onnx.js: as much of ONNX's protobuf as a comparison needs: the inputs of a model and the tensors of a test data set.
//
//   modelInputs('model.onnx')     ->  [{name: 'x', dims: ['batch', 3]}]
//   readTensor('input_0.pb')      ->  {type: 1, dims: [1, 3], data: Buffer}      data: the raw elements, little-endian
'use strict';
const fs = require('fs');

const STRING = 8;
// By TensorProto.DataType: the bytes of an element, and how it is read as numbers for a comparison.
const types = {
    1: [4, 'float32'], 2: [1, 'uint8'], 3: [1, 'int8'], 4: [2, 'uint16'], 5: [2, 'int16'], 6: [4, 'int32'], 7: [8, 'int64'], 9: [1, 'bool'],
    10: [2, 'float16'], 11: [8, 'float64'], 12: [4, 'uint32'], 13: [8, 'uint64'], 16: [2, 'bfloat16'],
};

function varint(b, at) {
    let v = 0n, shift = 0n, byte;
    do {
        byte = b[at++];
        v |= BigInt(byte & 127) << shift;
        shift += 7n;
    } while (byte & 128);
    return [BigInt.asIntN(64, v), at];
}
// The fields of a message: [number, value]; value is a BigInt or a Buffer.
function* fields(b) {
    for (let at = 0; at < b.length;) {
        let key, v;
        [key, at] = varint(b, at);
        const wire = Number(key & 7n), number = Number(key >> 3n);
        if (wire === 0) [v, at] = varint(b, at);
        else {
            let n = wire === 1 ? 8 : 4;
            if (wire === 2) {
                [v, at] = varint(b, at);
                n = Number(v);
            } else if (wire !== 1 && wire !== 5) throw new Error(`not a protobuf message (wire type ${wire})`);
            if (at + n > b.length) throw new Error('the file ends early');
            v = b.subarray(at, at + n);
            at += n;
        }
        yield [number, v];
    }
}
const all = (b, number) => [...fields(b)].filter(f => f[0] === number).map(f => f[1]);
const packed = v => {
    if (typeof v === 'bigint') return [v];
    const list = [];
    for (let at = 0, x; at < v.length;) [x, at] = varint(v, at), list.push(x);
    return list;
};

function modelInputs(path) {
    const graph = all(fs.readFileSync(path), 7)[0];
    if (!graph) throw new Error(`${path}: holds no graph`);
    const constants = new Set(all(graph, 5).map(t => (all(t, 8)[0] || '').toString()));
    const inputs = [];
    for (const v of all(graph, 11)) {
        const name = (all(v, 1)[0] || '').toString();
        if (constants.has(name)) continue;
        const tensor = all(v, 2).flatMap(t => all(t, 1))[0];
        if (!tensor) throw new Error(`${path}: input '${name}' is no tensor`);
        const dims = all(tensor, 2).flatMap(s => all(s, 1)).map(d => {
            const value = all(d, 1)[0], name = all(d, 2)[0];
            return value !== undefined && value > 0n ? Number(value) : name ? name.toString() : '?';
        });
        inputs.push({name, dims});
    }
    return inputs;
}

function readTensor(path) {
    const b = fs.readFileSync(path), dims = [], lists = {4: [], 5: [], 7: [], 10: [], 11: []};
    let type = 0, raw = null;
    for (const [n, v] of fields(b)) {
        if (n === 1) dims.push(...packed(v).map(Number));
        if (n === 2) type = Number(v);
        if (n === 9) raw = v;
        if (n === 4 || n === 10) lists[n].push(v);
        if (n === 5 || n === 7 || n === 11) lists[n].push(...packed(v));
    }
    if (!types[type]) throw new Error(`${path}: element type ${type === STRING ? 'string' : type} is not compared here`);
    if (raw) return {type, dims, data: Buffer.from(raw)};
    if (type === 1 || type === 11) return {type, dims, data: Buffer.concat(lists[type === 1 ? 4 : 10])};
    const values = [...lists[5], ...lists[7], ...lists[11]], size = types[type][0], data = Buffer.alloc(values.length * size);
    values.forEach((v, i) => {
        const word = Buffer.alloc(8);
        word.writeBigInt64LE(v);
        word.copy(data, i * size, 0, size);
    });
    return {type, dims, data};
}

function half(h) {
    const s = h & 0x8000 ? -1 : 1, e = (h >> 10) & 31, m = h & 1023;
    return e === 31 ? (m ? NaN : s * Infinity) : s * (e ? 2 ** (e - 15) * (1 + m / 1024) : 2 ** -24 * m);
}
// Raw elements as an array of numbers.
function numbers(type, b) {
    const name = types[type][1], n = b.length / types[type][0], copy = new Uint8Array(b).buffer;
    const views = {float32: Float32Array, float64: Float64Array, uint8: Uint8Array, bool: Uint8Array, int8: Int8Array, uint16: Uint16Array,
                   int16: Int16Array, uint32: Uint32Array, int32: Int32Array};
    if (views[name]) return new views[name](copy);
    const out = new Float64Array(n);
    if (name === 'int64' || name === 'uint64') new (name === 'int64' ? BigInt64Array : BigUint64Array)(copy).forEach((v, i) => out[i] = Number(v));
    else if (name === 'float16') new Uint16Array(copy).forEach((v, i) => out[i] = half(v));
    else new Uint16Array(copy).forEach((v, i) => {
        const word = new DataView(new ArrayBuffer(4));
        word.setUint16(0, v);
        out[i] = word.getFloat32(0);
    });
    return out;
}
module.exports = {modelInputs, readTensor, numbers, types};
