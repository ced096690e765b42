import { expect, it } from 'vitest';
import type { MetricsNow, Usage } from './api/types';
import { extend, fromRecent, none } from './trails';

const at = (cpu: number): MetricsNow => ({ services: { web: { cpu_percent: cpu, memory_mb: 10 } as Usage }, cronjobs: {} });
const step = 120_000;

it('moves on with the time, and keeps its length', () => {
	let t = fromRecent({ start: new Date(0).toISOString(), step_seconds: 120, services: { web: { cpu_percent: [1, 2, 3], memory_mb: [1, 2, 3] } }, cronjobs: {} });
	const cpu = () => t.of.get('Service/web')?.cpu;
	t = extend(t, at(9), 2 * step);
	expect(cpu()).toEqual([1, 2, 9]);
	t = extend(t, at(8), 4 * step + 1);
	expect(cpu()).toEqual([9, null, 8]);
	t = extend(t, { services: {}, cronjobs: {} }, 5 * step);
	expect(cpu()).toEqual([null, 8, null]);
	t = extend(t, at(7), 900 * step);
	expect(cpu()).toEqual([null, null, 7]);
});

it('begins with nothing', () => {
	const t = extend(none, at(5), 1e12);
	expect(t.of.get('Service/web')?.cpu).toHaveLength(30);
	expect(t.of.get('Service/web')?.cpu.at(-1)).toBe(5);
});
