// SPDX-License-Identifier: Apache-2.0
// compare.js: times Quern, ONNX Runtime and other systems on the same models and inputs, in turns, and writes the table.
// Each system runs in a process of its own that stays alive; a round gives every process one block of some calls, in an order
// that changes from round to round, so that a slow second of the machine hits all of them. A ratio is the median over the
// rounds of (their time / our time) within one round. compare.sh builds what is needed and calls this.
//
//   node compare.js [options] MODEL_FOLDER…        a folder: model.onnx and test_data_set_0/input_0.pb …
'use strict';
const fs = require('fs');
const os = require('os');
const path = require('path');
const {spawn, execFileSync} = require('child_process');
const {modelInputs, readTensor, numbers, types} = require('./onnx.js');
const {peers} = require('./peers.js');
const {tableText, writeTable} = require('./table.js');

const CALL_SECONDS = 300;
const sleep = ms => new Promise(done => setTimeout(done, ms));
const median = v => v.slice().sort((a, b) => a - b)[v.length >> 1];

class Child {
    constructor([program, args, env]) {
        this.p = spawn(program, args, {stdio: ['pipe', 'pipe', 'inherit'], env: {...process.env, ...env}});
        this.lines = [], this.waiting = null, this.rest = '', this.ended = null;
        this.p.stdout.on('data', d => {
            const parts = (this.rest + d).split('\n');
            this.rest = parts.pop();
            this.lines.push(...parts);
            this.wake();
        });
        this.p.stdin.on('error', () => {});
        this.p.on('error', e => (this.ended = e.message, this.wake()));
        this.p.on('close', (code, signal) => (this.ended = signal ? `died of ${signal}` : `ended with status ${code}`, this.wake()));
    }
    wake() {
        if (this.waiting && (this.lines.length || this.ended)) this.waiting(), this.waiting = null;
    }
    async answer(prefix) {
        if (!this.lines.length && !this.ended) {
            const late = setTimeout(() => this.p.kill('SIGKILL'), CALL_SECONDS * 1000);
            await new Promise(done => this.waiting = done);
            clearTimeout(late);
        }
        const line = this.lines.shift();
        if (line === undefined) throw new Error(this.ended);
        if (!line.startsWith(prefix)) throw new Error(line.replace(/^error /, ''));
        return line.split(' ').slice(1).map(Number);
    }
    ask(line, prefix) {
        this.p.stdin.write(`${line}\n`);
        return this.answer(prefix);
    }
    end() { this.p.stdin.end(), this.p.kill(); }
}

// Milliseconds of one call, from a block of n.
async function block(run, n, o) {
    if (run.external) return run.external();
    const [wall, cpu] = await run.child.ask(`run ${n}`, 't');
    return (o.clock === 'cpu' && run.threads === 1 ? cpu : wall) / n / 1e6;
}
async function start(peer, job) {
    const run = {name: peer.name, ...peer.prepare(job), times: []};
    run.unchecked = run.unchecked || peer.unchecked;
    if (!run.start) return run;
    run.child = new Child(run.start);
    await run.child.answer('ready');
    let t = await block(run, 1, job.options);
    if (t < 2000) t = await block(run, 1, job.options);
    run.calls = Math.max(1, Math.min(100000, Math.round(job.options.block / t)));
    run.single = t;
    return run;
}
async function rounds(runs, o, threads) {
    const one = runs.reduce((s, r) => s + (r.child ? r.single * (r.calls + (r.calls > 1)) : 500), 0);
    const n = Math.max(3, Math.min(o.rounds, Math.round(o.seconds * 1000 / one)));
    for (let i = 0; i < n; i++) {
        for (const r of i % 2 ? runs.slice().reverse() : runs) {
            if (threads > 1) await sleep(40); // threads of ONNX Runtime's pool keep a processor busy for 30 ms after a call
            if (r.calls > 1) await block(r, 1, o);
            r.times.push(await block(r, r.calls, o));
        }
    }
    return n;
}

// The largest difference relative to the largest value, over all outputs; null: the runtimes disagree on sizes.
async function difference(a, b, dtypes, dir) {
    const got = path.join(dir, `out.${a.name}`), want = path.join(dir, `out.${b.name}`), code = Object.keys(types);
    const [na, nb] = [await a.child.ask(`out ${got}`, 'o'), await b.child.ask(`out ${want}`, 'o')];
    let worst = 0, bad = na.length === nb.length ? null : `${na.length} outputs, ONNX Runtime has ${nb.length}`;
    for (let i = 0; i < nb.length && !bad; i++) {
        const type = Number(code.find(c => types[c][1] === dtypes[i]) || 0), file = `${got}.${i}`;
        if (na[i] !== nb[i]) bad = `output ${i} has ${na[i]} bytes, ONNX Runtime's ${nb[i]}`;
        if (!type || bad) continue;
        const x = numbers(type, fs.readFileSync(file)), y = numbers(type, fs.readFileSync(`${want}.${i}`));
        let largest = 0, diff = 0;
        for (let k = 0; k < y.length; k++) {
            const d = Object.is(x[k], y[k]) || x[k] === y[k] ? 0 : Math.abs(x[k] - y[k]);
            if (Math.abs(y[k]) > largest && Number.isFinite(y[k])) largest = Math.abs(y[k]);
            if (!(d <= diff)) diff = d;
        }
        const allowed = /float/.test(dtypes[i]) ? (/16/.test(dtypes[i]) ? 2e-2 : 1e-3) * (largest + 1e-3) : /int8/.test(dtypes[i]) ? 2 : 0;
        if (!(diff <= allowed)) bad = `output ${i} differs by ${diff.toPrecision(3)}, its largest value is ${largest.toPrecision(3)}`;
        worst = Math.max(worst, largest ? diff / largest : diff);
    }
    for (let i = 0; i < Math.max(na.length, nb.length); i++) fs.rmSync(`${got}.${i}`, {force: true}), fs.rmSync(`${want}.${i}`, {force: true});
    return {worst, bad};
}

function readData(folder, dir, model) {
    const declared = modelInputs(model);
    const inputs = declared.map((d, i) => {
        const pb = path.join(folder, 'test_data_set_0', `input_${i}.pb`);
        if (!fs.existsSync(pb)) throw new Error(`${pb} is absent`);
        const t = readTensor(pb), file = path.join(dir, `input_${i}.raw`);
        fs.writeFileSync(file, t.data);
        return {name: d.name, declared: d.dims, dims: t.dims, type: t.type, file};
    });
    return inputs;
}
async function compareModel(folder, threads, o) {
    const id = path.basename(folder), dir = path.join(o.work, id), model = path.resolve(folder, 'model.onnx');
    const row = {model: id, threads, peers: {}, errors: []}, runs = [];
    fs.mkdirSync(dir, {recursive: true});
    try {
        const job = {model, id, dir, inputs: readData(folder, dir, model), threads, options: o};
        for (const peer of o.peers) {
            try {
                runs.push(await start(peer, job));
            } catch (e) {
                row.errors.push(`${peer.name}: ${e.message}`);
                if (peer.name === 'quern' || peer.name === 'ort') return row;
            }
        }
        const [ours, ort] = runs, manifest = JSON.parse(fs.readFileSync(path.join(dir, `quern-${threads}`, 'net.json')));
        const dtypes = manifest.outputs.map(x => x.dtype);
        for (const r of runs) {
            if (r === ort || r.unchecked) continue;
            const {worst, bad} = await difference(r, ort, dtypes, dir);
            if (r === ours) row.difference = worst;
            if (bad) row.errors.push(`${r.name}: WRONG: ${bad}`), r.wrong = true;
        }
        row.rounds = await rounds(runs, o, threads);
        row.macs = ours.macs, row.ours_threads = ours.threads;
        for (const r of runs) {
            row.peers[r.name] = {ms: median(r.times), min: Math.min(...r.times), ratio: median(r.times.map((t, i) => t / ours.times[i])),
                                 ratio_min: Math.min(...r.times) / Math.min(...ours.times), threads: r.threads, wrong: !!r.wrong,
                                 rss_kib: r.child ? (await r.child.ask('rss', 'r'))[0] : null};
        }
    } catch (e) {
        row.errors.push(e.message);
    } finally {
        for (const r of runs) if (r.child) r.child.end();
    }
    return row;
}

const first = (program, args) => {
    try {
        return execFileSync(program, args, {encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore']}).trim().split('\n')[0];
    } catch {
        return 'unknown';
    }
};
function about(o) {
    const cc = (process.env.CC || 'cc').split(/\s+/), root = path.resolve(__dirname, '../..');
    const dirty = first('git', ['-C', root, 'status', '--porcelain', '-uno', '--', 'ir', 'passes', 'codegen', 'runtime', 'frontend']);
    return {processors: os.cpus().length, machine: `${os.cpus()[0].model}, ${os.cpus().length} processors`, compiler: first(cc[0], [...cc.slice(1), '--version']),
            commit: first('git', ['-C', root, 'rev-parse', '--short', 'HEAD']) + (dirty && dirty !== 'unknown' ? ' and uncommitted changes' : ''),
            ort: `onnxruntime-node ${o.version}${o.node ? ' through Node' : ', its library called from C'}`, target: o.target, clock: o.clock, flags: o.flags,
            date: new Date().toISOString().slice(0, 10), load: os.loadavg()[0].toFixed(1)};
}
function parse(argv) {
    const o = {target: 'host', add: [], threads: [1, 2], rounds: 41, seconds: 6, block: 30, clock: 'wall', flags: [], folders: [], node: false};
    for (let i = 0; i < argv.length; i++) {
        const a = argv[i], value = () => {
            if (i + 1 === argv.length) throw new Error(`${a} needs a value`);
            return argv[++i];
        };
        if (['--rounds', '--seconds', '--block'].includes(a)) o[a.slice(2)] = Number(value());
        else if (['--target', '--clock', '--quern', '--child', '--library', '--version', '--work', '--package', '--json', '--write'].includes(a)) o[a.slice(2)] = value();
        else if (a === '--threads') o.threads = value().split(',').map(Number);
        else if (a === '--flags') o.flags = value().split(/\s+/).filter(Boolean);
        else if (a === '--add') o.add.push(value());
        else if (a === '--node') o.node = true;
        else if (a.startsWith('--')) throw new Error(`unknown option ${a}`);
        else o.folders.push(a);
    }
    if (!o.folders.length && !o.add.length) throw new Error('no model folder was given');
    if (!['wall', 'cpu'].includes(o.clock)) throw new Error(`--clock is '${o.clock}', expected wall or cpu`);
    if (!o.threads.every(n => n >= 1)) throw new Error('--threads expects numbers, such as 1,2');
    return o;
}
async function main() {
    const o = parse(process.argv.slice(2));
    o.peers = peers.filter(p => !p.variable || process.env[p.variable]);
    for (const p of peers) if (p.variable && !process.env[p.variable]) console.error(`${p.name}: skipped, ${p.variable} is not set`);
    const result = {...about(o), rows: []};
    const earlier = o.add.map(file => JSON.parse(fs.readFileSync(file, 'utf8')));
    if (!o.folders.length) Object.assign(result, earlier[0], {rows: []}); // the table of earlier runs alone
    for (const e of earlier) result.rows.push(...e.rows);
    result.commit = [...new Set([...earlier, ...o.folders.length ? [result] : []].map(e => e.commit))].join(', ');
    console.error(`${result.machine}; ${result.compiler}; commit ${result.commit}; ${result.ort}; load ${result.load}`);
    for (const threads of o.threads)
        for (const folder of o.folders) {
            const row = await compareModel(folder, threads, o);
            result.rows.push(row);
            const q = row.peers.quern, r = row.peers.ort;
            console.error(`${row.model}, ${threads} thread${threads > 1 ? 's' : ''}: ` + (q && r ? `${q.ms.toPrecision(4)} ms, ONNX Runtime ` +
                `${r.ms.toPrecision(4)} ms, ratio ${r.ratio.toFixed(2)} (of minima ${r.ratio_min.toFixed(2)}), ${row.rounds} rounds` : 'no figure') +
                row.errors.map(e => `\n  ${e}`).join(''));
        }
    if (o.json) fs.writeFileSync(o.json, `${JSON.stringify(result, null, 1)}\n`);
    const text = tableText(result);
    console.log(text);
    if (o.write) writeTable(o.write, text);
    process.exitCode = result.rows.every(r => r.peers.quern && !r.peers.quern.wrong) ? 0 : 1;
}
main().catch(e => {
    console.error(`compare: ${e.message}`);
    process.exitCode = 2;
});
