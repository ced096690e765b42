// Which rows the overview shows, and in which order. Pure.

import type { CronJob, MetricsNow, Service } from '$lib/api/types';
import { phaseTone, selects, serviceTrouble } from '$lib/state';

export type StateFilter = '' | 'running' | 'trouble' | 'stopped';
export type Sort = 'name' | 'state' | 'cpu' | 'memory' | 'restarts';

export interface Wanted {
	text: string;
	label: string;
	state: StateFilter;
	sort: Sort;
	down: boolean;
}

const order: Record<string, number> = { bad: 0, warn: 1, busy: 2, ok: 3, idle: 4 };

export function stateOf(service: Service, now: number): StateFilter {
	if (serviceTrouble(service, now)) return 'trouble';
	const tone = phaseTone(service.status?.phase);
	return tone === 'idle' ? 'stopped' : 'running';
}

/** since is when the service came into its present state. */
export function since(service: Service): string | undefined {
	const s = service.status;
	if (!s) return undefined;
	if (s.phase === 'Running' || s.phase === 'Starting' || s.phase === 'Unready') return s.startedAt;
	if (s.phase === 'Complete' && s.lastExit) return s.lastExit.at;
	return s.conditions?.find((c) => c.type === 'Ready')?.lastTransitionTime ?? s.lastExit?.at;
}

const finds = (text: string, ...in_: (string | undefined)[]): boolean => {
	const words = text.toLowerCase().split(/\s+/).filter(Boolean);
	const hay = in_.join(' ').toLowerCase();
	return words.every((w) => hay.includes(w));
};

const labelText = (labels: Record<string, string> | undefined) =>
	Object.entries(labels ?? {})
		.map(([k, v]) => `${k}=${v}`)
		.join(' ');

export function services(all: Iterable<Service>, wanted: Wanted, usage: MetricsNow['services'], now: number): Service[] {
	const list = [...all].filter(
		(s) =>
			finds(wanted.text, s.metadata.name, labelText(s.metadata.labels), String(s.status?.port ?? ''), s.status?.url) &&
			selects(wanted.label, s.metadata.labels) &&
			(wanted.state === '' || stateOf(s, now) === wanted.state),
	);
	const sign = wanted.down ? -1 : 1;
	const by: Record<Sort, (s: Service) => number> = {
		name: () => 0,
		state: (s) => order[serviceTrouble(s, now)?.tone ?? phaseTone(s.status?.phase)] ?? 9,
		cpu: (s) => usage[s.metadata.name]?.cpu_percent ?? -1,
		memory: (s) => usage[s.metadata.name]?.memory_mb ?? -1,
		restarts: (s) => s.status?.restarts ?? 0,
	};
	const value = by[wanted.sort];
	const compare = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' }).compare;
	const names = (a: Service, b: Service) => compare(a.metadata.name, b.metadata.name);
	return list.sort((a, b) => (wanted.sort === 'name' ? sign * names(a, b) : sign * (value(a) - value(b)) || names(a, b)));
}

export function cronjobs(all: Iterable<CronJob>, wanted: Wanted): CronJob[] {
	return [...all]
		.filter(
			(j) =>
				finds(wanted.text, j.metadata.name, labelText(j.metadata.labels), j.spec.schedule) &&
				selects(wanted.label, j.metadata.labels) &&
				(wanted.state === '' ||
					(wanted.state === 'trouble' && j.status?.lastSuccess === false) ||
					(wanted.state === 'running' && Boolean(j.status?.running)) ||
					(wanted.state === 'stopped' && j.spec.enabled === false)),
		)
		.sort((a, b) => a.metadata.name.localeCompare(b.metadata.name));
}

/** Every label that there is, as key=value, the most frequent first. */
export function labels(objects: Iterable<Service | CronJob>): { label: string; count: number }[] {
	const counts = new Map<string, number>();
	for (const o of objects) for (const [k, v] of Object.entries(o.metadata.labels ?? {})) counts.set(`${k}=${v}`, (counts.get(`${k}=${v}`) ?? 0) + 1);
	return [...counts].map(([label, count]) => ({ label, count })).sort((a, b) => b.count - a.count || a.label.localeCompare(b.label));
}
