import { describe, expect, it } from 'vitest';
import type { Condition, CronJob, Phase, Service } from './api/types';
import { cronTrouble, selects, serviceTrouble, troubles } from './state';

const NOW = Date.parse('2026-01-01T12:00:00Z');
const cond = (type: string, status: Condition['status'], message: string, ago = 5): Condition => ({
	type,
	status,
	reason: 'X',
	message,
	lastTransitionTime: new Date(NOW - ago * 1000).toISOString(),
});
const service = (phase: Phase, conditions: Condition[] = [], name = 'web'): Service => ({
	apiVersion: 'supervisor.dev/v1',
	kind: 'Service',
	metadata: { name },
	spec: { command: 'x' },
	status: { observedRevision: 'r', phase, conditions, pid: 0, restarts: 0, updatedAt: '' },
});

describe('serviceTrouble', () => {
	it.each<[Phase, Condition[], string | undefined]>([
		['Running', [cond('Ready', 'True', 'runs')], undefined],
		['Stopped', [cond('Ready', 'False', 'as asked')], undefined],
		['Complete', [], undefined],
		['Failed', [cond('Ready', 'False', 'gave up')], 'Given up'],
		['Backoff', [], 'Crashing'],
		['Unready', [], 'Not ready'],
		['Starting', [cond('Ready', 'False', 'waits for its probe', 30)], undefined],
		['Starting', [cond('Ready', 'False', 'waits for its probe', 90)], 'Not ready yet'],
		['Pending', [cond('Ready', 'False', 'waits for db', 90)], 'Waiting'],
		['Running', [cond('Degraded', 'True', 'no limits here')], 'Degraded'],
		['Running', [cond('Exposed', 'False', 'Caddy is away')], 'Not exposed'],
		['Stopped', [cond('Exposed', 'False', 'Caddy is away')], undefined],
	])('%s with %j is %s', (phase, conditions, want) => expect(serviceTrouble(service(phase, conditions), NOW)?.title).toBe(want));

	it('says the reason', () => expect(serviceTrouble(service('Failed', [cond('Ready', 'False', 'gave up after 3')]), NOW)?.reason).toBe('gave up after 3'));
});

it('knows failed jobs', () => {
	const job = (lastSuccess: boolean | undefined): CronJob => ({
		apiVersion: 'supervisor.dev/v1',
		kind: 'CronJob',
		metadata: { name: 'backup' },
		spec: { command: 'x', schedule: '@daily' },
		status: { observedRevision: 'r', running: false, lastSuccess, updatedAt: '' },
	});
	expect(cronTrouble(job(true))).toBeUndefined();
	expect(cronTrouble(job(undefined))).toBeUndefined();
	expect(cronTrouble(job(false))?.remedies).toContain('run');
});

it('puts the worst first, and one row a file', () => {
	const list = troubles(
		[service('Unready', [], 'a'), service('Failed', [], 'b'), service('Running', [], 'c')],
		[],
		[
			{ file: 'x.yaml', line: 6, field: 'spec.comand', detail: 'unknown field' },
			{ file: 'x.yaml', line: 9, detail: 'another' },
		],
		NOW,
	);
	expect(list.map((t) => t.name)).toEqual(['b', 'x.yaml', 'a']);
	expect(list[1]?.reason).toBe('line 6: spec.comand: unknown field (and 1 more)');
});

describe('selects', () => {
	const labels = { team: 'web', tier: 'api' };
	it.each([
		['', true],
		['team=web', true],
		['team = web, tier=api', true],
		['team=web,tier=db', false],
		['tier!=db', true],
		['team!=web', false],
		['team', true],
		['canary', false],
	])('%j is %s', (selector, want) => expect(selects(selector, labels)).toBe(want));
});
