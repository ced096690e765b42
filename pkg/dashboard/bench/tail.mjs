// Measures a live tail in Chromium: how many frames a second the page draws, how many lines a second it takes, and what it
// holds in memory over time.
//
//	node bench/tail.mjs URL SERVICE [SECONDS]
//
// SERVICE prints by itself, such as 5,000 lines a second. CHROMIUM names another browser than /usr/bin/chromium.
import { chromium } from 'playwright-core';

const [base = 'http://127.0.0.1:9900', service = 'fast', seconds = '20'] = process.argv.slice(2);
const browser = await chromium.launch({
	executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
	args: ['--no-sandbox', '--disable-dev-shm-usage', '--enable-precise-memory-info', '--js-flags=--expose-gc'],
});
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
const cdp = await page.context().newCDPSession(page);
await page.goto(`${base}/logs?service=${encodeURIComponent(service)}`);
await page.waitForSelector('.line');

/** Counts frames, and the number that the service prints, for a time. */
const measure = (ms) =>
	page.evaluate(
		(ms) =>
			new Promise((done) => {
				const newest = () => {
					let max = 0;
					for (const line of document.querySelectorAll('.line .text')) max = Math.max(max, Number(/\d+/.exec(line.textContent.replace(/^\D*/, ''))?.[0] ?? 0));
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
console.log(`least: ${least.toFixed(1)} frames/s (aim: 30)`);
if (least < 30) process.exitCode = 1;
