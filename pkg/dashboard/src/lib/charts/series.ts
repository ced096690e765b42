// The points of the API as columns that a chart can draw. Pure.

import type { SeriesPoint } from '../api/types';

type Column = (number | null)[];

export interface Columns {
	/** Unix seconds. */
	times: number[];
	cpu: Column;
	cpuMax: Column;
	memory: Column;
	memoryMax: Column;
	disk: Column;
	processes: Column;
	threads: Column;
	files: Column;
	/** Bytes a second. */
	read: Column;
	write: Column;
}

const names = ['cpu', 'cpuMax', 'memory', 'memoryMax', 'disk', 'processes', 'threads', 'files', 'read', 'write'] as const;

/** Where nothing was measured for longer than a few steps, the line is broken. */
export function columns(points: SeriesPoint[]): Columns {
	const out: Columns = { times: [], cpu: [], cpuMax: [], memory: [], memoryMax: [], disk: [], processes: [], threads: [], files: [], read: [], write: [] };
	const gaps = points.slice(1).map((p, i) => (Date.parse(p.time) - Date.parse((points[i] as SeriesPoint).time)) / 1000);
	const usual = [...gaps].sort((a, b) => a - b)[Math.floor(gaps.length / 2)] ?? 0;
	points.forEach((p, i) => {
		const at = Date.parse(p.time) / 1000;
		const gap = gaps[i - 1] ?? 0;
		if (i > 0 && usual > 0 && gap > 3.5 * usual) {
			out.times.push((out.times[out.times.length - 1] as number) + usual);
			for (const n of names) out[n].push(null);
		}
		const step = p.step_seconds || gap || 0;
		const rate = (n: number | null) => (n === null || step <= 0 ? null : n / step);
		out.times.push(at);
		out.cpu.push(p.cpu_percent);
		out.cpuMax.push(p.cpu_max);
		out.memory.push(p.memory_mb);
		out.memoryMax.push(p.memory_max_mb);
		out.disk.push(p.disk_mb);
		out.processes.push(p.processes);
		out.threads.push(p.threads);
		out.files.push(p.open_files);
		out.read.push(rate(p.read_bytes));
		out.write.push(rate(p.write_bytes));
	});
	return out;
}

export function last(column: Column): number | undefined {
	for (let i = column.length - 1; i >= 0; i--) if (column[i] !== null) return column[i] as number;
	return undefined;
}

export const peak = (column: Column): number | undefined => column.reduce<number | undefined>((m, v) => (v === null ? m : Math.max(m ?? v, v)), undefined);
