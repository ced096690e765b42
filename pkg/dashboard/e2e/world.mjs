// The demo's world, in which everything has happened that the pages show, and the table of the pages.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** Starts the demo, a program with its arguments, and waits until it has settled. */
export async function enter([program, ...args]) {
	const demo = spawn(program, [...args, '-deeds'], { stdio: ['pipe', 'pipe', 'inherit'] });
	const exited = new Promise((done) => demo.on('exit', done));
	const { value: line } = await createInterface({ input: demo.stdout })[Symbol.asyncIterator]().next();
	if (!line) throw new Error('the demo did not start');
	return {
		url: JSON.parse(line).url,
		async leave() {
			demo.stdin.end();
			await exited;
		},
	};
}

const named = (name) => (page) => page.getByRole('heading', { name, exact: true }).waitFor();
/** Each page, and what is there when it is. */
export const pages = {
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
	fixes: ['/fixes', (page) => page.getByRole('button', { name: 'Apply it' }).waitFor()],
	new: ['/new', named('New service')],
	'new-cron': ['/new/cron', named('New cron job')],
	onboard: ['/onboard', async (page) => {
		await page.getByRole('button', { name: /gift-cards/ }).click();
		await page.getByText('uvicorn').first().waitFor();
	}],
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
