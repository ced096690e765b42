import { expect, it } from 'vitest';
import { url } from './api/client';
import { match } from './router.svelte';

it.each([
	['/', '/', {}],
	['/services/:name', '/services/web', { name: 'web' }],
	['/services/:name', '/services/web/', { name: 'web' }],
	['/services/:name', '/services/a%20b', { name: 'a b' }],
	['/services/:name/:tab', '/services/web/logs', { name: 'web', tab: 'logs' }],
	['/services/:name', '/services/web/logs', undefined],
	['/services/:name', '/services/%E0', undefined],
	['/events', '/jobs', undefined],
])('%s and %s', (pattern, path, want) => expect(match(pattern, path)).toEqual(want));

it('leaves out what a query has no value for', () => {
	expect(url('/x')).toBe('/x');
	expect(url('/x', { a: '', b: undefined, c: null, d: 0, e: ['1', '2'], f: 'a&b' })).toBe('/x?d=0&e=1&e=2&f=a%26b');
});
