// Pictures of every page, wide and narrow, light and dark, of the demo's world: node screenshots.mjs DEMO BIN FOLDER [PAGE...]
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { launch, PATIENCE } from './browser.mjs';

const [demo, bin, folder, ...only] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });

const world = spawn(demo, ['-bin', bin, '-deeds'], { stdio: ['pipe', 'pipe', 'inherit'] });
const { value: line } = await createInterface({ input: world.stdout })[Symbol.asyncIterator]().next();
if (!line) throw new Error('the demo did not start');
const { url } = JSON.parse(line);

const named = (name) => (page) => page.getByRole('heading', { name, exact: true }).waitFor();
/** Each page, and what is there when it is. */
const pages = {
	overview: ['/', (page) => page.getByText('MB').first().waitFor()],
	service: ['/services/storefront', (page) => page.getByText('GET').first().waitFor()],
	crash: ['/services/recommendations', named('Given up')],
	'service-logs': ['/services/storefront/logs', (page) => page.getByText('GET').first().waitFor()],
	'service-metrics': ['/services/search/metrics', (page) => page.locator('.uplot').first().waitFor()],
	'service-environment': ['/services/checkout/environment', (page) => page.getByText('CURRENCY').waitFor()],
	'service-manifest': ['/services/checkout/manifest', (page) => page.locator('.cm-content').waitFor()],
	'service-updates': ['/services/pricing/updates', (page) => page.getByText('Revision 3').waitFor()],
	'service-fixes': ['/services/newsletter/fixes', (page) => page.getByText('Applied').first().waitFor()],
	'service-proposal': ['/services/loyalty/fixes', (page) => page.getByRole('button', { name: 'Apply it' }).waitFor()],
	'service-security': ['/services/pricing/security', (page) => page.getByText('Prices are changed by whoever asks').waitFor()],
	new: ['/new', named('New service')],
	'new-cron': ['/new/cron', named('New cron job')],
	onboard: ['/onboard', (page) => page.getByText('newsletter').first().waitFor()],
	logs: ['/logs', (page) => page.getByText('GET').first().waitFor()],
	metrics: ['/charts?service=search', (page) => page.locator('.uplot').first().waitFor()],
	cron: ['/cron', named('Cron')],
	'cron-job': ['/cron/backup', named('backup')],
	manifests: ['/manifests?file=broken.yaml', (page) => page.locator('.cm-content').waitFor()],
	'manifests-templates': ['/manifests?new=1', (page) => page.getByRole('button', { name: /Static site/ }).waitFor()],
	caddy: ['/caddy', (page) => page.getByText('pricing').first().waitFor()],
	'caddy-running': ['/caddy?config=running', (page) => page.getByText('"apps"').waitFor()],
	jobs: ['/jobs', (page) => page.getByText('security scan').first().waitFor()],
	chat: ['/chat', async (page) => {
		await page.getByRole('button', { name: /Why is recommendations down/ }).first().click();
		await page.getByText('Then start it anew').waitFor();
	}],
	events: ['/events', (page) => page.getByText('GaveUp').first().waitFor()],
	settings: ['/settings', named('Settings')],
	palette: ['/', async (page) => {
		await page.getByText('MB').first().waitFor();
		await page.keyboard.press('Control+k');
		await page.getByRole('combobox', { name: 'Search and commands' }).fill('restart st');
	}],
};

const browser = await launch();
let failed = 0;
for (const [size, viewport] of [['wide', { width: 1440, height: 900 }], ['narrow', { width: 360, height: 780 }]]) {
	for (const colorScheme of ['light', 'dark']) {
		const context = await browser.newContext({ viewport, colorScheme, deviceScaleFactor: size === 'narrow' ? 2 : 1, reducedMotion: 'reduce', hasTouch: size === 'narrow' });
		const page = await context.newPage();
		page.setDefaultTimeout(PATIENCE / 3);
		for (const [name, [path, there]] of Object.entries(pages)) {
			if (only.length > 0 && !only.includes(name)) continue;
			try {
				await page.goto(url + path);
				await there(page);
				// Figures come every few seconds; fonts and the first frame of charts a moment later.
				await page.evaluate(() => document.fonts.ready);
				await page.evaluate(() => new Promise((done) => setTimeout(done, 600)));
				await page.screenshot({ path: `${folder}/${name}-${size}-${colorScheme}.png` });
			} catch (error) {
				failed++;
				console.error(`${name}, ${size}, ${colorScheme}: ${error.message.split('\n')[0]}`);
			}
		}
		await context.close();
	}
}
await browser.close();
world.stdin.end();
await new Promise((done) => world.on('exit', done));
console.log(`pictures are in ${folder}${failed ? `; ${failed} could not be taken` : ''}`);
process.exitCode = failed ? 1 : 0;
