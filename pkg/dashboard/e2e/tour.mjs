// Through the pages of what is done with a world: routes, updates, repairs, a scan and a conversation, wide and at 360 px. The test
// in Go builds the demo and gives its path and its arguments.
import { launch, violations, watch } from './browser.mjs';
import { enter, pages } from './world.mjs';

const faults = [];
const shown = ['caddy', 'service-updates', 'service-security', 'fixes', 'onboard', 'chat'];

/** Wide it is looked at by all rules and, dark, by those of colours; narrow only whether it fits. */
async function look(page, what) {
	const { width } = page.viewportSize();
	if (width > 400) {
		for (const v of await violations(page)) faults.push(`${what}: ${v}`);
		await page.emulateMedia({ colorScheme: 'dark' });
		for (const v of await violations(page, true)) faults.push(`${what}, dark: ${v}`);
		await page.emulateMedia({ colorScheme: 'light' });
	}
	const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
	if (over > 0) faults.push(`${what}: at ${width} px the page is ${over} px wider than the screen`);
}

async function tour(browser, url, viewport) {
	const context = await browser.newContext({ viewport, reducedMotion: 'reduce' });
	const page = await watch(context, url, faults);
	for (const name of shown) {
		const [path, there] = pages[name];
		try {
			await page.goto(url + path);
			await there(page);
			await look(page, name);
		} catch (error) {
			faults.push(`${name} at ${viewport.width} px: ${error.stack}`);
		}
	}
	await context.close();
}

/** What can be done on them is done. */
async function deeds(browser, url) {
	const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, reducedMotion: 'reduce' });
	const page = await watch(context, url, faults);
	try {
		await page.goto(`${url}/services/loyalty/fixes`);
		await page.getByRole('button', { name: 'Apply it' }).click();
		await page.getByText('Applied', { exact: true }).waitFor();
		await page.getByText('Running', { exact: true }).first().waitFor();

		await page.goto(`${url}/services/pricing/updates`);
		await page.getByRole('button', { name: 'Go back to revision 2' }).click();
		await page.getByRole('dialog').getByRole('button', { name: 'Go back', exact: true }).click();
		await page.getByRole('button', { name: 'Go back to revision 3' }).waitFor();

		await page.goto(`${url}/services/pricing/security`);
		await page.getByRole('checkbox', { name: /reads the source/ }).uncheck();
		await page.getByRole('button', { name: 'Scan again' }).click();
		await page.getByText('no agent gave an opinion').waitFor();

		await page.goto(`${url}/chat`);
		await page.getByRole('textbox', { name: 'Message' }).fill('Why is recommendations down?');
		await page.keyboard.press('Enter');
		await page.getByText('Then start it anew').waitFor();
		await page.getByRole('button', { name: 'Send' }).waitFor();
		await page.getByRole('textbox', { name: 'Message' }).fill('Start it.');
		await page.keyboard.press('Enter');
		await page.getByRole('button', { name: 'Refuse' }).waitFor();
		await look(page, 'what is asked for in a conversation');
		await page.getByRole('button', { name: 'Refuse' }).click();
		await page.getByText('As you like.').waitFor();
	} catch (error) {
		faults.push(`${page.url()}: ${error.stack}`);
	}
	await context.close();
}

const world = await enter(process.argv.slice(2));
const browser = await launch();
await Promise.all([tour(browser, world.url, { width: 1280, height: 860 }), tour(browser, world.url, { width: 360, height: 740 })]);
await deeds(browser, world.url);
await browser.close();
await world.leave();
if (faults.length > 0) {
	console.error(`${faults.length} faults:\n${faults.map((f) => `- ${f}`).join('\n')}`);
	process.exitCode = 1;
}
