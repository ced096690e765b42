import { describe, expect, it } from 'vitest';
import { bytes, commandLine, count, megabytes, percent, relative, span, took } from './format';

const S = 1000;
const M = 60 * S;
const H = 60 * M;
const D = 24 * H;

describe('span', () => {
	it.each([
		[-5, '0s'],
		[400, '0s'],
		[59 * S, '59s'],
		[61 * S, '1m 1s'],
		[10 * M + 5 * S, '10m'],
		[H, '1h'],
		[H + M, '1h 1m'],
		[26 * H, '1d 2h'],
		[12 * D + 5 * H, '12d'],
		[40 * D, '1mo'],
		[800 * D, '2y'],
	])('%d ms is %s', (ms, want) => expect(span(ms)).toBe(want));
});

describe('relative', () => {
	const now = Date.UTC(2026, 0, 1);
	it.each([
		[0, 'now'],
		[-3 * S, 'now'],
		[-90 * S, '1m 30s ago'],
		[2 * H, 'in 2h'],
	])('%d ms from now is %s', (ms, want) => expect(relative(new Date(now + ms), now)).toBe(want));
});

describe('figures', () => {
	it.each([
		[took(0.123), '0.12s'],
		[took(75), '1m 15s'],
		[megabytes(0), '0.0 MB'],
		[megabytes(0.01), '<0.1 MB'],
		[megabytes(512), '512 MB'],
		[megabytes(2048), '2.00 GB'],
		[megabytes(3 * 1024 * 1024), '3.00 TB'],
		[bytes(12), '12 B'],
		[bytes(2048), '2.0 kB'],
		[bytes(5 << 20), '5.0 MB'],
		[percent(0), '0.0%'],
		[percent(0.04), '<0.1%'],
		[percent(9.96), '10.0%'],
		[percent(231.4), '231%'],
		[count(1, 'restart'), '1 restart'],
		[count(0, 'entry', 'entries'), '0 entries'],
	])('%s', (got, want) => expect(got).toBe(want));
});

it('quotes the words of a command that need it', () => {
	expect(commandLine(['sh', '-c', "echo it's"])).toBe(`sh -c 'echo it'\\''s'`);
	expect(commandLine('npm start')).toBe('npm start');
	expect(commandLine(undefined)).toBe('');
});
