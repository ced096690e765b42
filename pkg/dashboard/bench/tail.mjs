// A service prints 5,000 lines a second: how many frames a second a page draws that follows them, how many lines it takes, and
// what it holds in memory over time. node bench/tail.mjs DEMO BIN [SECONDS]; `make bench` runs it. DEMO is pkg/testenv/demo, built.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { launch } from '../e2e/browser.mjs';

const [demo, bin, seconds = '30'] = process.argv.slice(2);
const RATE = 5000;

const world = spawn(demo, ['-bin', bin, '-empty'], { stdio: ['pipe', 'pipe', 'inherit'] });
const { value: told } = await createInterface({ input: world.stdout })[Symbol.asyncIterator]().next();
if (!told) throw new Error('the demo did not start');
const { url } = JSON.parse(told);

const program = `
const begin = Date.now();
let n = 0;
setInterval(() => {
	let text = '';
	for (const until = (Date.now() - begin) * ${RATE / 1000}; n < until; n++) text += 'request ' + n + ' \u001b[32mGET\u001b[0m /api/items/' + (n % 997) + ' took \u001b[1m' + (n % 89) + 'ms\u001b[0m\\n';
	process.stdout.write(text);
}, 20);`;
const manifest = { apiVersion: 'supervisor.dev/v1', kind: 'Service', metadata: { name: 'flood' }, spec: { command: ['node', '-e', program.replaceAll('\u001b', '\\u001b')] } };
const made = await fetch(`${url}/api/v1/apply`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(manifest) });
if (!made.ok) throw new Error(await made.text());

const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
const cdp = await page.context().newCDPSession(page);
await page.goto(`${url}/logs?service=flood`);
await page.waitForSelector('.line');

/** Counts frames, and the number that the service prints, for a time. */
const measure = (ms) =>
	page.evaluate(
		(ms) =>
			new Promise((done) => {
				const newest = () => {
					let max = 0;
					for (const line of document.querySelectorAll('.line .text')) max = Math.max(max, Number(/request (\d+)/.exec(line.textContent)?.[1] ?? 0));
					return max;
				};
				const begin = performance.now();
				const first = newest();
				let frames = 0;
				let worst = 0;
				let last = begin;
				const frame = (now) => {
					frames++;
					worst = Math.max(worst, now - last);
					last = now;
					if (now - begin < ms) requestAnimationFrame(frame);
					else done({ fps: (frames / (now - begin)) * 1000, worst, lines: ((newest() - first) / (now - begin)) * 1000 });
				};
				requestAnimationFrame(frame);
			}),
		ms,
	);
const heap = async () => {
	await cdp.send('HeapProfiler.collectGarbage');
	const { usedSize } = await cdp.send('Runtime.getHeapUsage');
	return usedSize / 1048576;
};

await measure(3000); // what is only at the begin
const rounds = Math.max(1, Math.round(Number(seconds) / 5));
console.log('  second   frames/s   worst frame   lines/s   heap');
let least = Infinity;
for (let i = 1; i <= rounds; i++) {
	const m = await measure(5000);
	least = Math.min(least, m.fps);
	console.log(`${String(i * 5).padStart(8)}   ${m.fps.toFixed(1).padStart(8)}   ${m.worst.toFixed(0).padStart(8)} ms   ${m.lines.toFixed(0).padStart(7)}   ${(await heap()).toFixed(1)} MB`);
}
await browser.close();
world.stdin.end();
console.log(`least: ${least.toFixed(1)} frames/s (aim: 30)`);
