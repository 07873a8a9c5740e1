// SPDX-License-Identifier: Apache-2.0
// ort_node.js: child.c's protocol spoken by ONNX Runtime's own Node binding (--node): the same library, plus what a call from
// JavaScript costs (10 to 30 microseconds).
'use strict';
const fs = require('fs');
const readline = require('readline');
const {types} = require('./onnx.js');

async function main() {
    const ort = require(process.env.QUERN_ORT_NODE || 'onnxruntime-node');
    const spec = {in: [], threads: 1};
    for (const line of fs.readFileSync(process.argv[2], 'utf8').split('\n')) {
        const [key, ...rest] = line.split(' ');
        if (key === 'file') spec.file = rest.join(' ');
        if (key === 'threads') spec.threads = Number(rest[0]);
        if (key !== 'in') continue;
        const [type, rank] = rest.map(Number), dims = rest.slice(2, 2 + rank).map(Number);
        spec.in.push({type, dims, data: fs.readFileSync(rest.slice(2 + rank).join(' '))});
    }
    const session = await ort.InferenceSession.create(spec.file, {intraOpNumThreads: spec.threads, interOpNumThreads: 1, graphOptimizationLevel: 'all',
                                                                  executionMode: 'sequential'});
    const arrays = {float32: Float32Array, float64: Float64Array, uint8: Uint8Array, bool: Uint8Array, int8: Int8Array, uint16: Uint16Array,
                    int16: Int16Array, uint32: Uint32Array, int32: Int32Array, int64: BigInt64Array, uint64: BigUint64Array, float16: Uint16Array};
    const feeds = {};
    spec.in.forEach((x, i) => {
        const name = types[x.type][1];
        feeds[session.inputNames[i]] = new ort.Tensor(name, new arrays[name](new Uint8Array(x.data).buffer), x.dims);
    });
    let result = await session.run(feeds);
    console.log('ready');
    for await (const line of readline.createInterface({input: process.stdin})) {
        const [what, arg] = line.split(' ');
        if (what === 'run') {
            const n = Number(arg), cpu = process.cpuUsage(), t = process.hrtime.bigint();
            for (let i = 0; i < n; i++) result = await session.run(feeds);
            const wall = process.hrtime.bigint() - t, used = process.cpuUsage(cpu);
            console.log(`t ${wall} ${(used.user + used.system) * 1000}`);
        } else if (what === 'out') {
            const sizes = session.outputNames.map((name, i) => {
                const d = result[name].data, b = Buffer.from(d.buffer, d.byteOffset, d.byteLength);
                fs.writeFileSync(`${arg}.${i}`, b);
                return b.length;
            });
            console.log(['o', ...sizes].join(' '));
        } else if (what === 'rss') console.log(`r ${process.resourceUsage().maxRSS}`);
    }
}
main().catch(e => console.log(`error ${String(e.message).split('\n')[0]}`));
