import { expect, it } from 'vitest';
import type { Event, SeriesPoint } from '../api/types';
import { marks, sizeInMB } from './marks';
import { columns, last, peak } from './series';

const at = (s: number) => new Date(1_700_000_000_000 + s * 1000).toISOString();
const event = (s: number, reason: string, type: Event['type'] = 'Normal'): Event => ({ id: s, time: at(s), type, reason, message: `${reason} ${s}` });

it('marks crashes, deploys and stops, and joins near ones', () => {
	const got = marks([event(30, 'Exited', 'Warning'), event(10, 'ManifestChanged'), event(31, 'Exited', 'Warning'), event(50, 'Exited'), event(60, 'Ready'), event(900, 'Exited')], 1_700_000_000, 1_700_000_100, 5);
	expect(got.map((m) => [m.at - 1_700_000_000, m.kind, m.count, m.text])).toEqual([
		[10, 'deploy', 1, 'ManifestChanged 10'],
		[30, 'crash', 2, 'Exited 31'],
		[50, 'stop', 1, 'Exited 50'],
	]);
});

it('reads sizes', () => {
	expect(sizeInMB('512Mi')).toBe(512);
	expect(sizeInMB('2Gi')).toBe(2048);
	expect(sizeInMB('1048576')).toBe(1);
	expect(sizeInMB('1M')).toBeCloseTo(0.9537, 3);
	expect(sizeInMB('much')).toBeUndefined();
	expect(sizeInMB(undefined)).toBeUndefined();
});

it('breaks lines where nothing was measured, and makes rates of bytes', () => {
	const point = (s: number, over: Partial<SeriesPoint> = {}): SeriesPoint => ({
		time: at(s), step_seconds: 10, cpu_percent: s, cpu_max: s, memory_mb: 1, memory_max_mb: 1, disk_mb: null, threads: 1, processes: 1, open_files: null, read_bytes: 100, write_bytes: null, ...over,
	});
	const c = columns([point(0), point(10), point(20), point(200, { step_seconds: 0 }), point(210)]);
	expect(c.cpu).toEqual([0, 10, 20, null, 200, 210]);
	expect(c.read).toEqual([10, 10, 10, null, 100 / 180, 10]);
	expect(c.write.every((v) => v === null)).toBe(true);
	expect(last(c.cpu)).toBe(210);
	expect(last(c.write)).toBeUndefined();
	expect(peak(c.cpu)).toBe(210);
	expect(columns([]).times).toEqual([]);
});
