import { expect, it } from 'vitest';
import { blank, manifest, toneOf, wordOf } from './states';

const scalar = (t: string) => t;

it('writes what is not left at its default', () => {
	expect(manifest({ ...blank(), name: ' a ', command: 'date' }, scalar)).toBe(
		'apiVersion: supervisor.dev/v1\nkind: CronJob\nmetadata:\n  name: a\nspec:\n  schedule: "0 3 * * *"\n  command: date\n',
	);
	expect(
		manifest({ name: 'b', command: 'x', schedule: '@daily', timeZone: 'Europe/London', workingDir: '~/x', timeout: '1h', concurrencyPolicy: 'Allow', catchUp: 'skip', retries: '2' }, scalar),
	).toContain('timeZone: Europe/London\n  command: x\n  workingDir: ~/x\n  timeout: 1h\n  concurrencyPolicy: Allow\n  catchUp: skip\n  retries: {limit: 2}\n');
});

it('has a word and a tone for what it does not know', () => {
	expect([toneOf('failed'), wordOf('timedOut')]).toEqual(['bad', 'Timed out']);
	expect([toneOf('odd' as never), wordOf('odd' as never)]).toEqual(['idle', 'odd']);
});
