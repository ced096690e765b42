// What the states of a cron job's instants mean, in tones and words. Pure.

import type { Tone } from '../state';

export type RunState = 'pending' | 'running' | 'succeeded' | 'failed' | 'timedOut' | 'stopped' | 'skipped' | 'missed';

export interface Run {
	id: number;
	started_at: string | null;
	finished_at: string | null;
	exit_code: number | null;
	success: boolean | null;
	duration_seconds: number;
	cpu_percent: number;
	memory_mb: number;
	scheduled: string;
	attempt: number;
	trigger: 'schedule' | 'catchUp' | 'manual';
	state: RunState;
	reason?: string;
	message?: string;
	signal?: string;
}

export interface TimelineRow {
	name: string;
	past: { id: number; at: string; state: RunState; duration_seconds: number }[];
	next: string[];
	more?: boolean;
}

export interface Timeline {
	from: string;
	to: string;
	rows: TimelineRow[];
}

const table: Record<RunState, { tone: Tone; word: string }> = {
	pending: { tone: 'busy', word: 'Waiting' },
	running: { tone: 'busy', word: 'Running' },
	succeeded: { tone: 'ok', word: 'Succeeded' },
	failed: { tone: 'bad', word: 'Failed' },
	timedOut: { tone: 'bad', word: 'Timed out' },
	stopped: { tone: 'warn', word: 'Stopped' },
	skipped: { tone: 'idle', word: 'Skipped' },
	missed: { tone: 'warn', word: 'Missed' },
};

export const toneOf = (s: RunState): Tone => table[s]?.tone ?? 'idle';
export const wordOf = (s: RunState): string => table[s]?.word ?? s;

/** Whether a run has printed anything that could be read. */
export const hasOutput = (r: Pick<Run, 'started_at'>): boolean => r.started_at !== null;

export const triggers: Record<Run['trigger'], string> = { schedule: 'on schedule', catchUp: 'made up for', manual: 'by hand' };

export interface CronForm {
	name: string;
	command: string;
	schedule: string;
	timeZone: string;
	workingDir: string;
	timeout: string;
	concurrencyPolicy: 'Forbid' | 'Allow' | 'Replace';
	catchUp: 'once' | 'skip' | 'all';
	retries: string;
}

export const blank = (): CronForm => ({
	name: '',
	command: '',
	schedule: '0 3 * * *',
	timeZone: '',
	workingDir: '',
	timeout: '5m',
	concurrencyPolicy: 'Forbid',
	catchUp: 'once',
	retries: '0',
});

/** The YAML of a form; what is left at its default is left out. */
export function manifest(f: CronForm, scalar: (text: string) => string): string {
	const out = ['apiVersion: supervisor.dev/v1', 'kind: CronJob', 'metadata:', `  name: ${scalar(f.name.trim())}`, 'spec:'];
	out.push(`  schedule: ${JSON.stringify(f.schedule.trim())}`);
	if (f.timeZone) out.push(`  timeZone: ${scalar(f.timeZone)}`);
	out.push(`  command: ${scalar(f.command.trim())}`);
	if (f.workingDir.trim()) out.push(`  workingDir: ${scalar(f.workingDir.trim())}`);
	if (f.timeout.trim() && f.timeout.trim() !== '5m') out.push(`  timeout: ${scalar(f.timeout.trim())}`);
	if (f.concurrencyPolicy !== 'Forbid') out.push(`  concurrencyPolicy: ${f.concurrencyPolicy}`);
	if (f.catchUp !== 'once') out.push(`  catchUp: ${f.catchUp}`);
	if (Number(f.retries) > 0) out.push(`  retries: {limit: ${Number(f.retries)}}`);
	return out.join('\n') + '\n';
}
