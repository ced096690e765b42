import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const src = (name: string) => fileURLToPath(new URL(`./src/${name}`, import.meta.url));

/** Empties dist before a build, but for its .gitignore, which go:embed needs in a fresh clone. */
const emptyDist = (): Plugin => ({
	name: 'empty-dist',
	apply: 'build',
	buildStart() {
		const dist = fileURLToPath(new URL('./dist', import.meta.url));
		for (const name of readdirSync(dist)) if (name !== '.gitignore') rmSync(join(dist, name), { recursive: true });
	},
});

export default defineConfig({
	plugins: [emptyDist(), svelte()],
	resolve: { alias: { $lib: src('lib'), $components: src('components') } },
	build: {
		emptyOutDir: false,
		target: 'es2022',
		// Data URLs would need holes in the content security policy.
		assetsInlineLimit: 0,
		modulePreload: { polyfill: false },
		manifest: true,
		reportCompressedSize: false,
		rolldownOptions: { checks: { pluginTimings: false } },
	},
	worker: { format: 'es' },
	// `npm run dev` beside a supervisor that runs elsewhere: SUPERVISOR_URL=http://127.0.0.1:9900 npm run dev
	server: {
		host: '127.0.0.1',
		proxy: Object.fromEntries(
			['/api', '/schemas', '/openapi.json', '/login'].map((path) => [
				path,
				{
					target: process.env.SUPERVISOR_URL ?? 'http://127.0.0.1:9900',
					changeOrigin: true,
					headers: { Origin: process.env.SUPERVISOR_URL ?? 'http://127.0.0.1:9900' },
				},
			]),
		),
	},
	test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
