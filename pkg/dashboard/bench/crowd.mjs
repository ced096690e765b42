// 200 services: how soon the overview can be used, what ten open dashboards cost the server, whether a tab stays flat.
// node bench/crowd.mjs DEMO BIN [SECONDS]; `make bench` runs it. DEMO is pkg/testenv/demo, built.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { launch } from '../e2e/browser.mjs';

const [demo, bin, seconds = '60'] = process.argv.slice(2);
const CROWD = 200;

const world = spawn(demo, ['-bin', bin, '-empty', '-crowd', String(CROWD)], { stdio: ['pipe', 'pipe', 'inherit'] });
const { value: line } = await createInterface({ input: world.stdout })[Symbol.asyncIterator]().next();
if (!line) throw new Error('the demo did not start');
const { url, pid } = JSON.parse(line);

/** Seconds of CPU that a process has used. */
function used() {
	const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
	const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
	return (Number(fields[11]) + Number(fields[12])) / 100;
}
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

/** How soon all rows are there, from the navigation on, as the page itself measures it, and how busy its main thread was: on a machine that
 *  has other work to do the first says little. */
async function open(page) {
	await page.addInitScript((crowd) => {
		const look = () => {
			if (document.querySelectorAll('[aria-label="Services"] [role=row]').length > crowd) {
				requestAnimationFrame(() => setTimeout(() => (globalThis.usable = performance.now())));
			} else requestAnimationFrame(look);
		};
		requestAnimationFrame(look);
	}, CROWD);
	const client = await page.context().newCDPSession(page);
	await client.send('Performance.enable', { timeDomain: 'threadTicks' });
	await page.goto(url);
	await page.waitForFunction(() => globalThis.usable);
	const { metrics } = await client.send('Performance.getMetrics');
	await client.send('Performance.disable');
	return { usable: await page.evaluate(() => globalThis.usable), busy: 1000 * (metrics.find((m) => m.name === 'TaskDuration')?.value ?? 0) };
}

const browser = await launch();
const times = [];
for (let i = 0; i < 5; i++) {
	const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
	times.push(await open(await context.newPage()));
	await context.close();
}
times.sort((a, b) => a.usable - b.usable);
console.log(`overview with ${CROWD} services, cold cache: usable after ${times.map((t) => `${Math.round(t.usable)} ms`).join(', ')} (median ${Math.round(times[2].usable)} ms; goal 1000); of processor time its main thread took ${times.map((t) => `${Math.round(t.busy)} ms`).join(', ')}`);

const idleFrom = used();
const idleSpan = Math.min(20, Number(seconds));
await wait(idleSpan * 1000);
const idle = ((used() - idleFrom) / idleSpan) * 100;

// Ten browsers of ten people: contexts share nothing, so each has an event stream and polls of its own.
const contexts = [];
for (let i = 0; i < 10; i++) {
	const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
	await open(await context.newPage());
	contexts.push(context);
}
await wait(5_000);
const page = contexts[0].pages()[0];
const client = await contexts[0].newCDPSession(page);
await client.send('HeapProfiler.enable');
const heap = async () => {
	await client.send('HeapProfiler.collectGarbage');
	return (await client.send('Runtime.getHeapUsage')).usedSize / 1e6;
};
const before = await heap();
const from = used();
await wait(Number(seconds) * 1000);
const cpu = ((used() - from) / Number(seconds)) * 100;
const after = await heap();
console.log(`server with ten open dashboards and ${CROWD} services: ${cpu.toFixed(1)} % of a core over ${seconds} s (with none: ${idle.toFixed(1)} %; goal 5)`);
console.log(`heap of a tab: ${before.toFixed(1)} MB, and ${after.toFixed(1)} MB ${seconds} s later`);
await browser.close();
world.stdin.end();
await new Promise((done) => world.on('exit', done));
