// What vite has built becomes what the binary embeds: every text file as .br and .gz beside each other, and not plain, for there is
// no browser that takes neither. Fails when what the overview loads first is over its budget.
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const dist = fileURLToPath(new URL('../dist/', import.meta.url));
const BUDGET = 120_000;
const text = /\.(html|js|css|svg|json|txt)$/;

const manifest = JSON.parse(readFileSync(join(dist, '.vite/manifest.json'), 'utf8'));

/** The files that are loaded before the overview can be used: the entry and all that it imports statically. */
function initial() {
	const files = new Set();
	const visit = (key) => {
		const chunk = manifest[key];
		if (!chunk || files.has(chunk.file)) return;
		files.add(chunk.file);
		for (const next of chunk.imports ?? []) visit(next);
	};
	visit('index.html');
	return [...files];
}

let raw = 0;
let packed = 0;
let first = 0;
const entry = new Set(initial());
for (const path of readdirSync(dist, { recursive: true, withFileTypes: true }).filter((e) => e.isFile()).map((e) => join(e.parentPath ?? e.path, e.name))) {
	const name = relative(dist, path);
	if (name === '.gitignore' || !text.test(name)) continue;
	const data = readFileSync(path);
	const gz = gzipSync(data, { level: 9 });
	const br = brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: data.length } });
	writeFileSync(`${path}.gz`, gz);
	writeFileSync(`${path}.br`, br);
	rmSync(path);
	raw += data.length;
	packed += gz.length;
	if (entry.has(name)) first += gz.length;
}
rmSync(join(dist, '.vite'), { recursive: true, force: true });

const kB = (n) => `${(n / 1000).toFixed(1)} kB`;
console.log(`dashboard: ${kB(raw)} in all, ${kB(packed)} gzipped; ${kB(first)} of JavaScript before the overview (at most ${kB(BUDGET)})`);
if (first > BUDGET) {
	console.error('The first load is over its budget: load what only one page needs with import().');
	process.exit(1);
}
