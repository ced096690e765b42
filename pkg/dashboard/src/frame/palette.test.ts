import { expect, it } from 'vitest';
import { rank } from './palette.svelte';

it('finds letters in order, and prefers whole words', () => {
	expect(rank('xyz', 'restart web')).toBe(0);
	expect(rank('rsw', 'restart web')).toBeGreaterThan(0);
	expect(rank('web', 'web-1')).toBeGreaterThan(rank('web', 'my web-1'));
	expect(rank('web', 'my web')).toBeGreaterThan(rank('web', 'cobwebs'));
	expect(rank('web', 'cobwebs')).toBeGreaterThan(rank('wb', 'web'));
	expect(rank('', 'anything')).toBe(1);
});
