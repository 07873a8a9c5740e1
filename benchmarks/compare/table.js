// SPDX-License-Identifier: Apache-2.0
// table.js: the result of compare.js as a Markdown table, and its place in docs/performance.md: between two marker lines.
'use strict';
const fs = require('fs');

const BEGIN = '<!-- compare: begin (written by benchmarks/compare.sh) -->', END = '<!-- compare: end -->';
const ms = t => (t >= 100 ? t.toFixed(0) : t.toPrecision(3));
const ratio = r => (r >= 10 ? r.toFixed(0) : r >= 0.095 ? r.toFixed(2) : r.toPrecision(2));
const mean = v => Math.exp(v.reduce((s, x) => s + Math.log(x), 0) / v.length);

function tableText(result) {
    const others = [...new Set(result.rows.flatMap(r => Object.keys(r.peers)))].filter(n => n !== 'quern' && n !== 'ort');
    const lines = [`Machine: ${result.machine}, load ${result.load} at the start; ${result.compiler} -O3; commit ${result.commit}; ${result.ort}; ` +
                   `target ${result.target}${result.flags.length ? ` ${result.flags.join(' ')}` : ''}; ${result.date}. ` +
                   (result.clock === 'cpu' ? 'Times with one thread are processor times.' : 'Times are wall times.') +
                   (Number(result.load) > result.processors ? ' The machine was busy: wall times, and so all figures with several threads, say little.' : ''), '',
                   'Ratio: the other\'s time divided by Quern\'s, the median over the rounds of one interleaved run; "of minima": fastest block against fastest block.', ''];
    for (const threads of [...new Set(result.rows.map(r => r.threads))]) {
        const rows = result.rows.filter(r => r.threads === threads), good = rows.filter(r => r.peers.quern && r.peers.ort && !r.peers.quern.wrong);
        lines.push(`**${threads} thread${threads > 1 ? 's' : ''}**`, '',
                   `| model | MMAC | Quern ms | ONNX Runtime ms | ratio | of minima | GMAC/s | difference | RSS MB, Quern / ONNX Runtime |${others.map(n => ` ${n} |`).join('')}`,
                   `| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |${others.map(() => ' ---: |').join('')}`);
        for (const r of rows) {
            const q = r.peers.quern, o = r.peers.ort;
            if (!q || !o) {
                lines.push(`| ${r.model} | | – | – | – | | | | |${others.map(() => ' |').join('')}`);
                continue;
            }
            lines.push(`| ${r.model}${q.threads < threads ? ' (ours: 1 thread)' : ''} | ${(r.macs / 1e6).toPrecision(3)} | ${ms(q.ms)} | ${ms(o.ms)} | ` +
                       `${q.wrong ? 'wrong' : ratio(o.ratio)} | ${ratio(o.ratio_min)} | ${(r.macs / q.ms / 1e6).toPrecision(3)} | ${r.difference.toExponential(0)} | ` +
                       `${(q.rss_kib / 1024).toFixed(0)} / ${(o.rss_kib / 1024).toFixed(0)} |${others.map(n => (r.peers[n] ? ` ${r.peers[n].wrong ? 'wrong' : ratio(r.peers[n].ratio)} |` : ' – |')).join('')}`);
        }
        const ratios = good.map(r => r.peers.ort.ratio).sort((a, b) => a - b);
        if (good.length) lines.push('', `${good.length} model${good.length > 1 ? 's' : ''}: geometric mean ${ratio(mean(ratios))}, ` +
            `median ${ratio(ratios[ratios.length >> 1])}, smallest ${ratio(ratios[0])}.`);
        const errors = rows.flatMap(r => r.errors.map(e => `- ${r.model}: ${e}`));
        if (errors.length) lines.push('', 'Without a figure, or wrong:', '', ...errors);
        lines.push('');
    }
    return lines.join('\n').trimEnd();
}
function writeTable(file, text) {
    const fresh = `# Performance\n\nHow to measure: \`benchmarks/README.md\`.\n\n## Against ONNX Runtime and others\n\n${BEGIN}\n${END}\n`;
    const old = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : fresh, b = old.indexOf(BEGIN), e = old.indexOf(END);
    if (b < 0 || e < b) throw new Error(`${file} lacks the lines '${BEGIN}' and '${END}'`);
    fs.writeFileSync(file, `${old.slice(0, b + BEGIN.length)}\n${text}\n${old.slice(e)}`);
}
module.exports = {tableText, writeTable};
