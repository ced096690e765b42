// What states mean: their tone, their order, and what a person should know and do. Pure.

import type { Condition, CronJob, ManifestProblem, Phase, Service } from './api/types';

export type Tone = 'ok' | 'warn' | 'bad' | 'busy' | 'idle';

const tones: Record<Phase, Tone> = {
	Pending: 'busy',
	Starting: 'busy',
	Running: 'ok',
	Unready: 'warn',
	Stopping: 'busy',
	Stopped: 'idle',
	Backoff: 'warn',
	Failed: 'bad',
	Complete: 'idle',
};

export const phaseTone = (phase: Phase | undefined): Tone => (phase ? (tones[phase] ?? 'idle') : 'idle');

const words: Partial<Record<Phase, string>> = { Backoff: 'Restarting', Unready: 'Not ready', Complete: 'Completed' };

export const phaseWord = (phase: Phase | undefined): string => (phase ? (words[phase] ?? phase) : 'Unknown');

export const condition = (conditions: Condition[] | undefined, type: string): Condition | undefined => conditions?.find((c) => c.type === type);

/** A condition in a word, and how good it is. */
export function conditionWord(c: Condition, stopped: boolean): { word: string; tone: Tone } {
	const yes = c.status === 'True';
	const words: Record<string, [string, Tone, string, Tone]> = {
		Ready: ['Ready', 'ok', 'Not ready', stopped ? 'idle' : 'bad'],
		Progressing: ['On its way', 'busy', 'Settled', 'idle'],
		Degraded: ['Degraded', 'warn', 'As asked', 'ok'],
		Exposed: ['Exposed', 'ok', 'Not exposed', stopped ? 'idle' : 'warn'],
		LogsComplete: ['All output is kept', 'ok', 'Output is missing', 'warn'],
		ManifestValid: ['Manifest in force', 'ok', 'Manifest broken', 'bad'],
	};
	const w = words[c.type];
	if (c.status === 'Unknown') return { word: `${w ? w[0] : c.type}: unknown`, tone: 'idle' };
	if (!w) return { word: `${c.type}: ${c.status.toLowerCase()}`, tone: 'idle' };
	return yes ? { word: w[0], tone: w[1] } : { word: w[2], tone: w[3] };
}

/** How good the news of an event is. */
export function eventTone(event: { type: string; reason: string }): Tone {
	if (/^(GaveUp|Failed|AlertCrashLoop)$/.test(event.reason)) return 'bad';
	if (event.type === 'Warning') return 'warn';
	return /^(Ready|Recovered|Succeeded|Completed)$/.test(event.reason) ? 'ok' : 'idle';
}

/** What helps against a trouble. */
export type Remedy = 'start' | 'restart' | 'manifest' | 'logs' | 'run' | 'caddy';

export interface Trouble {
	/** Unique, and the same for as long as the trouble is. */
	id: string;
	tone: 'bad' | 'warn';
	/** A service, a cron job, or a file of manifests. */
	kind: 'Service' | 'CronJob' | 'File';
	name: string;
	title: string;
	reason: string;
	since?: string;
	/** The last lines of the program that ended. */
	lines?: string[];
	remedies: Remedy[];
}

const first = (text: string | undefined, fallback: string): string => text?.trim() || fallback;

/** How long a service may be on its way before that is a trouble. */
const PATIENCE = 60_000;

/** What is wrong with a service, the worst thing; undefined when nothing is. */
export function serviceTrouble(service: Service, now: number): Trouble | undefined {
	const { name } = service.metadata;
	const s = service.status;
	if (!s) return undefined;
	const base = { id: `Service/${name}`, kind: 'Service' as const, name };
	const ready = condition(s.conditions, 'Ready');
	const progressing = condition(s.conditions, 'Progressing');
	if (s.phase === 'Failed') {
		return {
			...base,
			tone: 'bad',
			title: 'Given up',
			reason: first(ready?.message, first(progressing?.message, first(s.lastExit?.reason, 'It could not be started.'))),
			since: ready?.lastTransitionTime ?? s.lastExit?.at,
			lines: s.lastExit?.lastLines,
			remedies: ['restart', 'logs'],
		};
	}
	if (s.phase === 'Backoff') {
		return {
			...base,
			tone: 'bad',
			title: 'Crashing',
			reason: first(ready?.message, first(s.lastExit?.reason, 'It exits and is restarted.')),
			since: ready?.lastTransitionTime ?? s.lastExit?.at,
			lines: s.lastExit?.lastLines,
			remedies: ['restart', 'logs'],
		};
	}
	if (s.phase === 'Unready') {
		return {
			...base,
			tone: 'warn',
			title: 'Not ready',
			reason: first(ready?.message, 'Its readiness probe fails.'),
			since: ready?.lastTransitionTime,
			remedies: ['restart', 'logs'],
		};
	}
	if ((s.phase === 'Starting' || s.phase === 'Pending') && ready && now - Date.parse(ready.lastTransitionTime) > PATIENCE) {
		return {
			...base,
			tone: 'warn',
			title: s.phase === 'Starting' ? 'Not ready yet' : 'Waiting',
			reason: first(ready.message, 'It is on its way for long.'),
			since: s.startedAt ?? ready.lastTransitionTime,
			remedies: s.phase === 'Starting' ? ['restart', 'logs'] : ['logs'],
		};
	}
	const degraded = condition(s.conditions, 'Degraded');
	if (degraded?.status === 'True') {
		return { ...base, tone: 'warn', title: 'Degraded', reason: degraded.message, since: degraded.lastTransitionTime, remedies: ['logs'] };
	}
	const exposed = condition(s.conditions, 'Exposed');
	if (exposed?.status === 'False' && s.phase === 'Running') {
		return { ...base, tone: 'warn', title: 'Not exposed', reason: exposed.message, since: exposed.lastTransitionTime, remedies: ['caddy'] };
	}
	return undefined;
}

/** What is wrong with a cron job. */
export function cronTrouble(job: CronJob): Trouble | undefined {
	const { name } = job.metadata;
	const s = job.status;
	if (!s) return undefined;
	const base = { id: `CronJob/${name}`, kind: 'CronJob' as const, name };
	const ready = condition(s.conditions, 'Ready');
	if (s.lastSuccess === false) {
		const next = s.nextRun ? '' : ready?.status === 'False' ? ` ${ready.message}` : '';
		return { ...base, tone: 'bad', title: 'Last run failed', reason: `Its last run failed.${next}`, since: s.lastRun, remedies: ['run', 'logs'] };
	}
	if (ready?.status === 'False' && job.spec.enabled !== false) {
		return { ...base, tone: 'warn', title: 'Not ready', reason: ready.message, since: ready.lastTransitionTime, remedies: ['logs'] };
	}
	return undefined;
}

/** Everything that is wrong, the worst first, then the newest. */
export function troubles(services: Iterable<Service>, jobs: Iterable<CronJob>, problems: ManifestProblem[], now: number): Trouble[] {
	const list: Trouble[] = [];
	for (const s of services) {
		const t = serviceTrouble(s, now);
		if (t) list.push(t);
	}
	for (const j of jobs) {
		const t = cronTrouble(j);
		if (t) list.push(t);
	}
	const files = new Map<string, ManifestProblem[]>();
	for (const p of problems) files.set(p.file, [...(files.get(p.file) ?? []), p]);
	for (const [file, found] of files) {
		const p = found[0] as ManifestProblem;
		const more = found.length > 1 ? ` (and ${found.length - 1} more)` : '';
		list.push({
			id: `File/${file}`,
			tone: 'bad',
			kind: 'File',
			name: file,
			title: file ? 'Broken manifest' : 'Manifest folder',
			reason: `${p.line ? `line ${p.line}: ` : ''}${p.field ? `${p.field}: ` : ''}${p.detail}${more}`,
			remedies: file ? ['manifest'] : [],
		});
	}
	const weight = (t: Trouble) => (t.tone === 'bad' ? 0 : 1);
	return list.sort((a, b) => weight(a) - weight(b) || (b.since ?? '').localeCompare(a.since ?? '') || a.name.localeCompare(b.name));
}

/** Whether labels meet a selector such as `team=web, tier!=test, canary`. */
export function selects(selector: string, labels: Record<string, string> | undefined): boolean {
	return selector
		.split(',')
		.map((s) => s.trim())
		.filter(Boolean)
		.every((term) => {
			const not = term.split('!=');
			if (not.length === 2) return labels?.[(not[0] as string).trim()] !== (not[1] as string).trim();
			const is = term.split('=');
			if (is.length === 2) return labels?.[(is[0] as string).trim()] === (is[1] as string).trim();
			return labels?.[term] !== undefined;
		});
}
