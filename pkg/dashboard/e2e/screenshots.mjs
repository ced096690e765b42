// Pictures of every page, wide and narrow, light and dark, of the demo's world: node screenshots.mjs DEMO BIN FOLDER [PAGE...]
import { mkdirSync } from 'node:fs';
import { launch, PATIENCE } from './browser.mjs';
import { enter, pages } from './world.mjs';

const [demo, bin, folder, ...only] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });

const world = await enter([demo, '-bin', bin]);

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
				await page.goto(world.url + path);
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
await world.leave();
console.log(`pictures are in ${folder}${failed ? `; ${failed} could not be taken` : ''}`);
process.exitCode = failed ? 1 : 0;
