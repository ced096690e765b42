// The story of a service, from its form to its end, as a person goes through it: wide and at 360 px. The test in Go starts a
// supervisor, runs this with its address, and does what is asked of it on standard output (@kill, @start).
import { createInterface } from 'node:readline';
import { mkdirSync } from 'node:fs';
import { launch, PATIENCE, violations, watch } from './browser.mjs';
import { pages } from './pages.mjs';

const url = process.argv[2];
const token = process.env.TOKEN ?? '';
const pictures = process.env.PICTURES ?? '';
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has the Go side do something, and waits until it is done. */
async function ask(what) {
	console.log(`@${what}`);
	const { value } = await answers.next();
	if (value !== 'done') throw new Error(`${what}: ${value}`);
}

const faults = [];
let doing = '';
function step(text) {
	doing = text;
	console.log(`  ${text}`);
}

async function check(page, what) {
	for (const scheme of ['light', 'dark']) {
		await page.emulateMedia({ colorScheme: scheme });
		await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
		for (const v of await violations(page, scheme === 'dark')) faults.push(`${what}, ${scheme}: ${v}`);
	}
	await page.emulateMedia({ colorScheme: 'light' });
	// Nothing may be wider than the screen.
	const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
	if (over > 0) faults.push(`${what}: the page is ${over} px wider than the screen`);
}

async function api(page, method, path, data, type = 'application/yaml') {
	const response = await page.request.fetch(url + path, { method, data, headers: { 'Content-Type': type } });
	if (!response.ok()) throw new Error(`${method} ${path}: ${response.status()} ${await response.text()}`);
	return response;
}

async function story(browser, name, viewport, touch) {
	console.log(name);
	const context = await browser.newContext({ viewport, hasTouch: touch, colorScheme: 'light', reducedMotion: 'reduce' });
	const page = await watch(context, url, faults, (text) => lost && /ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY/.test(text));
	let lost = false;
	const web = `web-${name}`;
	const crash = `crash-${name}`;
	const cron = `cron-${name}`;
	try {
		step('the overview opens');
		await page.goto(url);
		await page.getByRole('heading', { name: 'Overview' }).waitFor();

		step('a second tab watches');
		const other = await watch(context, url, faults, () => lost);
		await other.goto(url);
		await other.getByRole('heading', { name: 'Overview' }).waitFor();

		step('a service is registered by form');
		await page.getByRole('link', { name: 'New service' }).first().click();
		await page.getByRole('button', { name: 'Register service' }).click();
		await page.getByText('is required').first().waitFor();
		await check(page, 'new service');
		await page.getByRole('textbox', { name: 'Name', exact: true }).fill(web);
		await page.getByRole('textbox', { name: 'Command' }).fill(`sh -c 'i=0; while :; do i=$((i+1)); echo "tick $i of $KIND"; sleep 0.2; done'`);
		await page.getByRole('button', { name: 'Variable' }).click();
		await page.getByLabel('Name of variable 1').fill('KIND');
		await page.getByLabel('Value of variable 1').fill('clocks: many, # all');
		await check(page, 'a filled form');
		await page.getByRole('button', { name: 'Register service' }).click();

		step('it starts, live, in both tabs');
		await page.getByRole('heading', { name: web }).waitFor();
		await page.locator('header').getByText('Running').waitFor();
		await other.getByRole('link', { name: web, exact: true }).waitFor();
		await other.getByRole('row').filter({ hasText: web }).getByText('Running').waitFor();
		await other.close();

		step('its output is there, live');
		await page.getByText(/tick \d+ of clocks: many, # all/).first().waitFor();
		await check(page, 'service');

		step('its environment is shown');
		await page.getByRole('link', { name: 'Environment' }).click();
		await page.getByRole('row').filter({ hasText: 'KIND' }).getByText('clocks: many, # all').waitFor();
		await check(page, 'environment');

		step('its log streams');
		await page.getByRole('link', { name: 'Logs', exact: true }).last().click();
		const line = page.getByText(/tick \d+ of/);
		await line.first().waitFor();
		const newest = async () => Math.max(...(await line.allTextContents()).map((t) => Number(/tick (\d+)/.exec(t)?.[1] ?? 0)));
		const before = await newest();
		await until('newer lines', async () => (await newest()) > before + 3);
		await check(page, 'logs of a service');

		step('its manifest is broken in the editor, and the error is read at its line');
		await page.getByRole('link', { name: 'Manifest', exact: true }).click();
		const editor = page.locator('.cm-content');
		await editor.getByText(web).waitFor();
		await write(page, editor, '  comand: oops');
		await page.getByRole('list', { name: 'Problems' }).getByText(/line 9: spec\.comand: unknown field/).waitFor();
		await page.locator('.cm-lint-marker-error').first().waitFor();
		await check(page, 'a broken manifest');

		step('it is mended, and what will happen is shown before it is saved');
		// The first press goes to where the text begins, the second to where the line does.
		await page.keyboard.press('Shift+Home');
		await page.keyboard.press('Shift+Home');
		await page.keyboard.press('Delete');
		await write(page, editor, '  replicas: 2');
		await page.getByRole('list', { name: 'Problems' }).waitFor({ state: 'detached' });
		await page.getByRole('button', { name: 'Review and save' }).click();
		const review = page.getByRole('dialog', { name: /^Save/ });
		await review.getByText('replicas: 2').first().waitFor();
		await check(page, 'the review of an edit');
		await review.getByRole('button', { name: 'Save', exact: true }).click();
		await review.waitFor({ state: 'hidden' });
		await page.getByRole('link', { name: 'Now', exact: true }).click();
		await page.getByRole('heading', { name: 'Replicas' }).waitFor();

		await pages({ page, url, name, web, step, check, api, until });

		step('a crash is explained');
		await api(page, 'POST', '/api/v1/apply', manifest(crash, `sh -c 'echo "cannot open database" >&2; exit 3'`, 'restart: {delay: 0s, maxAttempts: 1}'));
		await page.goto(url);
		const trouble = page.getByRole('listitem').filter({ hasText: crash });
		await trouble.getByText('Given up', { exact: true }).waitFor();
		await trouble.getByText(/exited with code 3/i).waitFor();
		await trouble.getByText('cannot open database').waitFor();
		await check(page, 'overview');
		await trouble.getByRole('link', { name: crash, exact: true }).click();
		await page.getByRole('heading', { name: 'Given up' }).waitFor();
		await page.getByLabel('Last lines before it ended').getByText('cannot open database').waitFor();
		await page.getByText(/restart 1 of 1/).first().waitFor();
		await check(page, 'a crashed service');

		step('a cron job is run, and its output read');
		await api(page, 'POST', '/api/v1/apply', cronManifest(cron, `sh -c 'echo "42 rows saved"'`));
		await page.goto(`${url}/cron/${cron}`);
		await page.getByRole('button', { name: 'Run now' }).click();
		await page.getByText('42 rows saved').first().waitFor();
		await page.getByText('Succeeded').first().waitFor();
		await check(page, 'a cron job');

		step('the events tell it, too');
		await page.goto(`${url}/events?name=${crash}`);
		await page.getByText('GaveUp').first().waitFor();
		await check(page, 'events');

		step('the other pages');
		for (const path of ['/logs', '/charts', '/cron', '/manifests', '/caddy', '/jobs', '/settings', '/onboard', '/nowhere']) {
			await page.goto(url + path);
			await page.locator('main h1').waitFor({ state: 'attached' });
			await check(page, path);
		}

		step('the palette finds and does');
		await page.goto(url);
		await page.getByRole('heading', { name: 'Overview' }).waitFor();
		await page.getByRole('link', { name: web, exact: true }).waitFor();
		await page.keyboard.press('Control+k');
		await page.getByRole('combobox', { name: 'Search and commands' }).fill(`restart ${web}`);
		await page.getByRole('option', { name: `Restart ${web}` }).waitFor();
		await check(page, 'palette');
		await page.keyboard.press('Enter');
		await page.getByText(`${web} was restarted`).waitFor();

		step('a lost connection shows at once, and heals');
		lost = true;
		await ask('kill');
		await page.getByText('Connection lost.').waitFor();
		await check(page, 'lost connection');
		await ask('start');
		await page.getByText('Connection lost.').waitFor({ state: 'hidden' });
		lost = false;
		await page.getByRole('row').filter({ hasText: web }).getByText('Running').waitFor();

		step('it is stopped, and deleted');
		await page.getByRole('link', { name: web, exact: true }).click();
		await page.getByRole('button', { name: 'Stop', exact: true }).click();
		await page.locator('header').getByText('Stopped').waitFor();
		await page.getByRole('button', { name: 'Start', exact: true }).waitFor();
		await page.getByRole('button', { name: `Delete ${web}` }).click();
		await page.getByText(`${web}.yaml`).waitFor();
		await check(page, 'delete');
		await page.getByRole('button', { name: `Delete ${web}` }).last().click();
		await page.getByRole('heading', { name: 'Overview' }).waitFor();
		await page.getByRole('link', { name: web, exact: true }).waitFor({ state: 'detached' });
		await api(page, 'DELETE', `/api/services/${crash}`);
		await api(page, 'DELETE', `/api/cron/${cron}`);
		await page.getByText(crash).first().waitFor({ state: 'detached' });
	} catch (error) {
		if (pictures) {
			mkdirSync(pictures, { recursive: true });
			await page.screenshot({ path: `${pictures}/failed-${name}.png` }).catch(() => undefined);
		}
		faults.push(`${name}: ${doing}: ${error.stack}`);
	}
	await context.close();
}

/** Whoever comes from elsewhere has to log in; then everything works, by a cookie that scripts cannot read. */
async function door(browser) {
	console.log('door');
	// What a proxy adds makes the request one from elsewhere.
	const context = await browser.newContext({ extraHTTPHeaders: { 'X-Forwarded-For': '192.0.2.7' }, colorScheme: 'light' });
	const page = await watch(context, url, faults, (text) => /401/.test(text));
	try {
		step('a stranger is asked for the token');
		await page.goto(`${url}/events`);
		await page.getByRole('heading', { name: 'Log in to Supervisor' }).waitFor();
		await check(page, 'login');
		await page.getByLabel('Token').fill('not it, but long enough to be one');
		await page.getByRole('button', { name: 'Log in' }).click();
		await page.getByText('not the token').waitFor();

		step('with the token the page that was wanted opens');
		await page.getByLabel('Token').fill(token);
		await page.getByRole('button', { name: 'Log in' }).click();
		await page.getByRole('heading', { name: 'Events' }).waitFor();
		const cookie = (await context.cookies()).find((c) => c.name === 'supervisor_session');
		if (!cookie?.httpOnly || cookie.sameSite !== 'Strict') faults.push(`the cookie is ${JSON.stringify(cookie)}`);
		if (await page.evaluate((t) => document.cookie !== '' || JSON.stringify({ ...localStorage, ...sessionStorage }).includes(t), token)) faults.push('scripts can read the session');

		step('and things can be done');
		const done = await page.evaluate(async () => (await fetch('/api/v1/validate', { method: 'POST', headers: { 'Content-Type': 'application/yaml' }, body: 'kind: Service' })).status);
		if (done !== 200) faults.push(`a change of our own page is answered with ${done}`);
		const foreign = await context.request.post(`${url}/api/v1/validate`, { headers: { Origin: 'http://elsewhere.example', 'Content-Type': 'application/yaml' }, data: 'kind: Service' });
		if (foreign.status() !== 403) faults.push(`a change that another site asks for is answered with ${foreign.status()}`);
	} catch (error) {
		faults.push(`door: ${doing}: ${error.stack}`);
	}
	await context.close();
}

const manifest = (name, command, more) => `apiVersion: supervisor.dev/v1\nkind: Service\nmetadata:\n  name: ${name}\nspec:\n  command: ${JSON.stringify(command)}\n  ${more}\n`;

const cronManifest = (name, command) => `apiVersion: supervisor.dev/v1\nkind: CronJob\nmetadata:\n  name: ${name}\nspec:\n  schedule: "0 3 1 1 *"\n  command: ${JSON.stringify(command)}\n`;

/** Writes at the end of the editor's text. */
async function write(page, editor, text) {
	await editor.click();
	await page.keyboard.press('Control+End');
	await page.keyboard.type(text);
	await page.keyboard.press('Escape'); // what completion offers
}

async function until(what, ok) {
	const end = Date.now() + PATIENCE;
	while (!(await ok())) {
		if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
		await new Promise((r) => setTimeout(r, 50));
	}
}

const browser = await launch();
await story(browser, 'wide', { width: 1280, height: 860 }, false);
await story(browser, 'narrow', { width: 360, height: 740 }, true);
await door(browser);
await browser.close();
answers.return?.();
process.stdin.destroy();
if (faults.length > 0) {
	console.error(`${faults.length} faults:\n${faults.map((f) => `- ${f}`).join('\n')}`);
	process.exitCode = 1;
}
