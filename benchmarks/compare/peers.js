// SPDX-License-Identifier: Apache-2.0
// peers.js: makes something that can be run of a model, for each system that is compared. A peer is a row: name, prepare(job).
// prepare returns {start: [program, arguments, environment], note, threads}, or {external: async () => ms} for a program that
// times itself, or throws an Error that says why the model has no figure.
//
// job: {model, id, dir, inputs: [{name, dims, type, file}], threads, options}
'use strict';
const fs = require('fs');
const path = require('path');
const {spawnSync} = require('child_process');

const here = __dirname;

function command(program, args, what, seconds = 1800) {
    const r = spawnSync(program, args, {encoding: 'utf8', timeout: seconds * 1000, maxBuffer: 1 << 28});
    if (r.error) throw new Error(`${what}: ${r.error.code === 'ETIMEDOUT' ? `not done in ${seconds} s` : r.error.message}`);
    if (r.status !== 0) {
        const lines = r.stderr.trim().split('\n'), errors = lines.filter(l => /error/i.test(l));
        throw new Error(`${what}: ${(errors[0] || lines[lines.length - 1] || `status ${r.status}`).slice(0, 200)}`);
    }
    return r.stdout;
}
const words = s => s.split(/\s+/).filter(Boolean);
const compiler = () => words(process.env.CC || 'cc');

// The lines of a spec (child.c) that describe the inputs.
const inputLines = job => job.inputs.map(i => `in ${i.type} ${[i.dims.length, ...i.dims].join(' ')} ${i.file}`);
function writeSpec(job, name, lines) {
    const file = path.join(job.dir, `${name}.spec`);
    fs.writeFileSync(file, [...lines, `threads ${job.threads}`, ...inputLines(job), ''].join('\n'));
    return file;
}
function buildObject(job, dir, so, sources, flags, what) {
    const [cc, ...first] = compiler();
    command(cc, [...first, '-O3', ...flags, '-shared', '-fPIC', '-w', '-o', so, '-I', dir, ...sources, '-lm', '-pthread'], what);
}

function quern(job) {
    const dir = path.join(job.dir, `quern-${job.threads}`), so = path.join(dir, 'model.so'), o = job.options;
    fs.rmSync(dir, {recursive: true, force: true});
    const dims = job.inputs.flatMap(i => i.declared.map((d, k) => [d, k]).filter(([d]) => typeof d === 'string')
        .flatMap(([, k]) => ['--dim', `${i.name}[${k}]=${i.dims[k]}`]));
    const began = Date.now();
    command(o.quern, ['compile', job.model, '-o', dir, '--name', 'net', '--target', o.target, '--threads', String(job.threads), ...dims, ...o.flags], 'quern');
    const m = JSON.parse(fs.readFileSync(path.join(dir, 'net.json')));
    buildObject(job, dir, so, m.sources.map(s => path.join(dir, s)), words(m.cflags), 'cc on the emitted code');
    const threads = Math.min(job.threads, m.threads);
    const spec = writeSpec({...job, threads}, 'quern', [`file ${so}`, 'prefix net', `arena ${m.arena_bytes} ${m.state_bytes}`,
        ...m.outputs.map(x => `out ${x.max_bytes}`)]);
    return {start: [o.child, ['emitted', spec]], threads, macs: m.macs, seconds: (Date.now() - began) / 1000};
}
function ort(job) {
    const spec = writeSpec(job, 'ort', [`file ${job.model}`]);
    if (job.options.node) return {start: [process.execPath, [path.join(here, 'ort_node.js'), spec], {QUERN_ORT_NODE: job.options.package}], threads: job.threads};
    return {start: [job.options.child, ['ort', spec], {QUERN_ORT_LIBRARY: job.options.library}], threads: job.threads};
}

// A C function of another generator, `void NAME(const T *in…, T *out…)`, behind a PREFIX_invoke.
function wrapped(job, name, source, entry, outputs) {
    const dir = path.dirname(source), so = path.join(dir, 'model.so'), shim = path.join(dir, 'shim.c'), n = job.inputs.length;
    const args = [...job.inputs.map((_, i) => `(void *)in[${i}]`), ...outputs.map((_, i) => `out[${i}]`)];
    fs.writeFileSync(shim, `void ${entry}(${args.map(() => 'void *').join(', ')});\n` +
        'int net_invoke(void *arena, const void *const *in, const void *dims, void *const *out, void *out_dims) {\n' +
        `    (void)arena, (void)dims, (void)out_dims;\n    ${entry}(${args.join(', ')});\n    return 0;\n}\n`);
    buildObject(job, dir, so, [source, shim], ['-march=native', '-ffast-math'], `cc on the code of ${name}`);
    const spec = writeSpec({...job, threads: 1}, name, [`file ${so}`, 'prefix net', 'arena 64 0', ...outputs.map(b => `out ${b}`)]);
    return {start: [job.options.child, ['emitted', spec]], threads: 1, inputs: n};
}
// The parameters of a C function: bytes of those that are not const arrays.
function outputBytes(text, entry) {
    const head = new RegExp(`\\b${entry}\\s*\\(([^)]*)\\)\\s*\\{`).exec(text);
    if (!head) throw new Error(`no function ${entry} in the generated code`);
    const size = {float: 4, double: 8, int64_t: 8, int32_t: 4, int8_t: 1, uint8_t: 1, bool: 1, _Bool: 1};
    return head[1].split(',').filter(p => !/\bconst\b/.test(p)).map(p => {
        const type = words(p)[0], dims = [...p.matchAll(/\[(?:static\s+|restrict\s+)*(\d+)\]/g)].map(d => Number(d[1]));
        return (size[type] || 8) * dims.reduce((a, b) => a * b, 1);
    });
}
function onnx2c(job) {
    const dir = path.join(job.dir, 'onnx2c'), source = path.join(dir, 'model.c');
    fs.mkdirSync(dir, {recursive: true});
    const text = command(process.env.ONNX2C, [job.model], 'onnx2c', 300);
    fs.writeFileSync(source, text);
    if (text.length > 100e6) throw new Error(`${Math.round(text.length / 1e6)} MB of C are not compiled here`);
    return wrapped(job, 'onnx2c', source, 'entry', outputBytes(text, 'entry'));
}
function emx(job) {
    const dir = path.join(job.dir, 'emx'), source = path.join(dir, 'model.c'), [program, ...args] = words(process.env.EMX_ONNX_CGEN);
    fs.mkdirSync(dir, {recursive: true});
    command(program, [...args, 'compile', job.model, source, '--model-name', 'emx_model'], 'emx-onnx-cgen', 300);
    return wrapped(job, 'emx', source, 'emx_model', outputBytes(fs.readFileSync(source, 'utf8'), 'emx_model'));
}
// ncnn reads its own graphs, so its networks are its own versions of them: only those of benchncnn, by name.
function ncnn(job) {
    const rows = {resnet18: ['resnet18', 224], resnet50: ['resnet50', 224], mobilenet_v2: ['mobilenet_v2', 224], squeezenet1_1: ['squeezenet', 227],
                  vgg16: ['vgg16', 224], mobilenet_v1: ['mobilenet', 224], mnasnet1_0: ['mnasnet', 224], googlenet: ['googlenet', 224],
                  alexnet: ['alexnet', 227], efficientnet_b0: ['efficientnet_b0', 224], shufflenet_v2: ['shufflenet_v2', 224]};
    const row = rows[job.id];
    if (!row) throw new Error('not one of the networks of benchncnn');
    const program = process.env.BENCHNCNN, dir = process.env.NCNN_PARAMS || path.dirname(program);
    const param = path.join(dir, `${row[0]}.param`);
    if (!fs.existsSync(param)) throw new Error(`${param} is absent; set NCNN_PARAMS to ncnn's folder benchmark`);
    return {threads: job.threads, external: async () => {
        const r = spawnSync(program, ['8', String(job.threads), '0', '-1', '0', `param=${param}`, `shape=[${row[1]},${row[1]},3]`], {encoding: 'utf8', cwd: dir});
        const t = /min =\s*([\d.]+).*avg =\s*([\d.]+)/.exec(`${r.stdout}${r.stderr}`);
        if (!t) throw new Error('benchncnn printed no time');
        return Number(t[1]);
    }};
}
// NN-512 reads its own graph language: a program that speaks child.c's protocol, called with the model's name and the threads.
function nn512(job) {
    if (job.id !== (process.env.NN512_MODEL || 'resnet50')) throw new Error('only the model of NN512_MODEL (default resnet50)');
    return {start: [process.env.NN512, [job.id, String(job.threads)]], threads: job.threads, unchecked: true};
}
const peers = [
    {name: 'quern', prepare: quern},
    {name: 'ort', prepare: ort},
    {name: 'ncnn', prepare: ncnn, variable: 'BENCHNCNN', unchecked: true},
    {name: 'onnx2c', prepare: onnx2c, variable: 'ONNX2C'},
    {name: 'emx', prepare: emx, variable: 'EMX_ONNX_CGEN'},
    {name: 'nn512', prepare: nn512, variable: 'NN512', unchecked: true},
];
module.exports = {peers};
