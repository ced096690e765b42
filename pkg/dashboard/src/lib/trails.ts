// The last hour of everything, on a grid of steps since 1970: from the API at the start, then from each new figure. Pure.

import type { MetricsNow, Recent } from './api/types';

export interface Trail {
	cpu: (number | null)[];
	memory: (number | null)[];
}

export interface Trails {
	/** The number of the last step since 1970. */
	last: number;
	/** Seconds. */
	step: number;
	steps: number;
	/** By Kind/name. */
	of: Map<string, Trail>;
}

export const none: Trails = { last: 0, step: 120, steps: 30, of: new Map() };

export function fromRecent(recent: Recent): Trails {
	const of = new Map<string, Trail>();
	let steps = none.steps;
	for (const [kind, all] of [['Service', recent.services] as const, ['CronJob', recent.cronjobs] as const]) {
		for (const [name, t] of Object.entries(all)) {
			of.set(`${kind}/${name}`, { cpu: t.cpu_percent, memory: t.memory_mb });
			steps = t.cpu_percent.length;
		}
	}
	return { last: Math.floor(Date.parse(recent.start) / 1000 / recent.step_seconds) + steps - 1, step: recent.step_seconds, steps, of };
}

/** extend puts present figures into the last step; the grid moves on with the time. */
export function extend(trails: Trails, usage: MetricsNow, now: number): Trails {
	const last = Math.floor(now / 1000 / trails.step);
	const shift = trails.last === 0 ? 0 : Math.max(0, last - trails.last);
	const of = new Map<string, Trail>();
	const moved = (points: (number | null)[] | undefined): (number | null)[] => {
		if (!points || shift >= trails.steps) return Array<null>(trails.steps).fill(null);
		return [...points.slice(shift), ...Array<null>(shift).fill(null)];
	};
	for (const [id, t] of trails.of) of.set(id, shift > 0 ? { cpu: moved(t.cpu), memory: moved(t.memory) } : t);
	for (const [kind, all] of [['Service', usage.services] as const, ['CronJob', usage.cronjobs] as const]) {
		for (const [name, u] of Object.entries(all)) {
			const id = `${kind}/${name}`;
			const old = of.get(id);
			const cpu = old ? [...old.cpu] : moved(undefined);
			const memory = old ? [...old.memory] : moved(undefined);
			cpu[trails.steps - 1] = u.cpu_percent;
			memory[trails.steps - 1] = u.memory_mb;
			of.set(id, { cpu, memory });
		}
	}
	return { ...trails, last: trails.last === 0 ? last : Math.max(last, trails.last), of };
}
