// The part of the story that takes place on the pages for logs, manifests, cron jobs, metrics and settings.

export async function pages({ page, url, name, web, step, check, api, until }) {
	const job = `job-${name}`;
	const editor = page.locator('.cm-content');

	/** Another text in the editor, by the clipboard: the editor takes it from there as it does from a person. */
	async function write(text) {
		await editor.click();
		await page.keyboard.press('Control+a');
		await editor.evaluate((at, text) => {
			const data = new DataTransfer();
			data.setData('text/plain', text);
			at.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
		}, text);
	}

	step('the logs of all: found by words, paused, linked to');
	await page.goto(`${url}/logs`);
	await page.getByText(/tick \d+ of/).first().waitFor();
	await check(page, 'logs');
	await page.getByRole('searchbox', { name: 'Search in the log' }).fill('"tick 3 of"');
	await until('the line that was searched for', async () => {
		const lines = await page.locator('.line .text').allTextContents();
		return lines.length > 0 && lines.every((l) => l.startsWith('tick 3 of'));
	});
	await page.locator('.line .time').first().click();
	await until('a link to the line', async () => new URL(page.url()).searchParams.has('at'));
	const link = new URL(page.url());
	link.searchParams.delete('q');
	await page.goto(link.href);
	await page.locator('.line.marked').getByText('tick 3 of').waitFor();
	await page.locator('.line .text').getByText('tick 4 of').first().waitFor();
	await page.getByRole('button', { name: 'Follow' }).click();
	await page.getByRole('button', { name: 'Pause' }).waitFor();
	await page.getByRole('button', { name: 'Regular expression' }).click();
	await page.getByRole('searchbox', { name: 'Search in the log' }).fill('tick [');
	await page.getByRole('alert').waitFor();
	await page.goto(`${url}/logs?service=:supervisor`);
	await page.locator('.line .text').getByText('msg=').first().waitFor();

	step('the manifest is broken in the editor, and the error stands at its line');
	await page.goto(`${url}/manifests?object=Service/${web}`);
	await editor.getByText('command').first().waitFor();
	await page.getByText('Valid and in force.').waitFor();
	await check(page, 'manifests');
	const text = (await editor.locator('.cm-line').allTextContents()).join('\n');
	const at = text.split('\n').findIndex((l) => l.includes('command:')) + 1;
	await write(text.replace('command:', 'comand:'));
	await page.getByText(`line ${at}: spec.comand: unknown field; did you mean "command"?`).waitFor();

	step('it is mended, with another variable; the review says what restarts');
	await write(text.replace(/\n(\s+)KIND: .*/, '$&\n$1COLOR: red'));
	await page.getByText('a process cannot be given another spec.env').waitFor();
	await page.keyboard.press('Control+s');
	const review = page.getByRole('dialog').filter({ hasText: 'Save services/' });
	await review.getByText('spec.env.COLOR').waitFor();
	await review.getByText('+').first().waitFor();
	await check(page, 'review of an edit');
	await review.getByRole('button', { name: 'Save', exact: true }).click();
	await page.getByText(/was saved: .* is Running/).waitFor();
	await page.getByText('Valid and in force.').waitFor();

	step('an edit that somebody else was faster with shows both');
	const now = (await editor.locator('.cm-line').allTextContents()).join('\n');
	await write(now.replace('red', 'blue'));
	const file = new URL(page.url()).searchParams.get('file');
	await api(page, 'PUT', `/api/v1/manifests/file?path=${encodeURIComponent(file)}`, now.replace('red', 'green'));
	const both = page.getByRole('dialog').filter({ hasText: 'was changed meanwhile' });
	await both.getByText('green').waitFor();
	await both.getByText('blue').waitFor();
	await check(page, 'a conflict');
	await both.getByRole('button', { name: 'Take what is there' }).click();
	await editor.getByText('green').waitFor();

	step('completion and templates');
	await page.goto(`${url}/manifests?new=1`);
	await page.getByRole('button', { name: /Static site/ }).waitFor();
	await check(page, 'templates');
	await page.getByRole('button', { name: /Bare service/ }).click();
	await page.getByRole('textbox', { name: 'Path of the new file' }).waitFor();
	await write('kind: Service\nspec:\n  command: x\n  ');
	await page.keyboard.type('rest');
	await page.locator('.cm-tooltip-autocomplete').getByText('restart').first().waitFor();
	await check(page, 'completion');
	page.once('dialog', (d) => void d.accept()); // what was written is lost, and that is asked

	step('a cron job is made by form, which says what its schedule means');
	await page.goto(`${url}/new/cron`);
	await page.getByRole('textbox', { name: 'Name' }).fill(job);
	await page.getByRole('textbox', { name: 'Command' }).fill(`sh -c 'echo "$GREETING the backup"; sleep 1; echo done; exit 4'`);
	await page.getByRole('textbox', { name: 'Schedule' }).fill('61 * * * *');
	await page.getByText(/out of range|61/).first().waitFor();
	await page.getByRole('textbox', { name: 'Schedule' }).fill('30 9 * * 1-5');
	await page.getByText('At 09:30 on Monday to Friday').waitFor();
	await page.getByRole('combobox', { name: 'Time zone' }).fill('Asia/Tokyo');
	await page.getByText(/09:30.*GMT\+9/).first().waitFor();
	await check(page, 'new cron job');
	await page.getByRole('button', { name: 'Make it' }).click();
	await page.getByRole('heading', { name: job }).waitFor();

	step('it is run, and its output is there while it runs');
	await page.getByRole('button', { name: 'Run now' }).click();
	await page.locator('.output').getByText('the backup').waitFor();
	await page.locator('.output').getByText('done', { exact: true }).waitFor();
	await page.locator('.ledger').getByText('Failed').waitFor();
	await page.getByText('exit code 4').waitFor();
	await check(page, 'cron job');

	step('it is paused, and in the list');
	await page.getByRole('button', { name: 'Pause' }).click();
	await page.getByText('nothing is ahead').waitFor();
	await page.goto(`${url}/cron`);
	await page.getByRole('row').filter({ hasText: job }).getByText('Paused').waitFor();
	await check(page, 'cron');

	step('it is deleted');
	await page.getByRole('link', { name: job, exact: true }).click();
	await page.getByRole('button', { name: `Delete ${job}` }).click();
	await check(page, 'deletion of a cron job');
	await page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click();
	await page.getByRole('heading', { name: 'Cron', exact: true }).waitFor();
	await page.getByRole('link', { name: job, exact: true }).waitFor({ state: 'detached' });

	step('figures are drawn');
	await page.goto(`${url}/charts`);
	await page.getByRole('rowheader', { name: web }).waitFor();
	await check(page, 'metrics of all');
	await page.getByRole('link', { name: web, exact: true }).click();
	await page.locator('.uplot').first().waitFor();
	await page.getByRole('button', { name: '7 d' }).click();
	await page.locator('.uplot').first().waitFor();
	await check(page, 'metrics');

	step('the settings say where each value comes from');
	await page.goto(`${url}/settings`);
	await page.getByText('SUPERVISOR_DIR').waitFor();
	await page.getByRole('checkbox', { name: 'only those' }).check();
	await page.getByText('environment').first().waitFor();
	await check(page, 'settings');
}
