// What the browser tests have in common: a Chromium that speaks to nobody but us, and pages that are watched while they are used.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** How long anything may take. It is long because machines are slow; no test is faster for a shorter one. */
export const PATIENCE = 30_000;

export async function launch() {
	return chromium.launch({
		executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
		args: [
			'--no-sandbox',
			'--disable-dev-shm-usage',
			'--disable-background-networking',
			'--disable-component-update',
			'--disable-default-apps',
			'--disable-sync',
			'--no-first-run',
			'--metrics-recording-only',
			// Names resolve to nothing: whatever tried to leave the machine would fail, and be seen.
			'--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
		],
	});
}

/** A page whose errors and requests are recorded in `faults`. */
export async function watch(context, url, faults, tolerate = () => false) {
	const page = await context.newPage();
	page.setDefaultTimeout(PATIENCE);
	const ours = new URL(url).origin;
	page.on('console', (m) => {
		if (m.type() === 'error' && !tolerate(m.text())) faults.push(`console: ${m.text()} (${m.location().url})`);
	});
	page.on('pageerror', (e) => faults.push(`exception: ${e.stack ?? e}`));
	page.on('request', (r) => {
		const u = new URL(r.url());
		if (u.origin !== ours && u.protocol !== 'data:' && u.protocol !== 'blob:') faults.push(`a request leaves for ${r.url()}`);
	});
	return page;
}

/** What axe finds wrong with a page as it stands, in words; by all rules, or by those of colours only. */
export async function violations(page, colors = false) {
	if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(axeSource);
	// Colours on their way to others are measured where they arrive.
	await page.evaluate(() => Promise.allSettled(document.getAnimations().filter((a) => a.effect?.getComputedTiming().iterations !== Infinity).map((a) => a.finished)));
	const result = await page.evaluate((colors) => globalThis.axe.run(document, { resultTypes: ['violations'], ...(colors ? { runOnly: ['color-contrast'] } : {}) }), colors);
	return result.violations.map((v) => `${v.id}: ${v.help}\n${v.nodes.slice(0, 4).map((n) => `    ${n.html.slice(0, 200)}\n      ${n.failureSummary?.replaceAll('\n', '\n      ')}`).join('\n')}`);
}
