import { describe, expect, it } from 'vitest';
import { blank, inputOf, manifest, scalar } from './form';

describe('scalar', () => {
	it.each([
		['web', 'web'],
		['npm start', 'npm start'],
		['~/Code/app', '~/Code/app'],
		['uvicorn app:app --port $(PORT)', 'uvicorn app:app --port $(PORT)'],
		['', '""'],
		['true', '"true"'],
		['No', '"No"'],
		['8080', '"8080"'],
		['a: b', '"a: b"'],
		['a #b', '"a #b"'],
		['ends:', '"ends:"'],
		['- x', '"- x"'],
		['*x', '"*x"'],
		['{x}', '"{x}"'],
		['"x"', '"\\"x\\""'],
		['a\nb', '"a\\nb"'],
		['trailing ', '"trailing "'],
	])('%j is %s', (text, want) => expect(scalar(text)).toBe(want));
});

it('writes only what was chosen', () => {
	expect(manifest({ ...blank(), name: 'web', command: 'npm start' })).toBe('apiVersion: supervisor.dev/v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  command: npm start\n');
});

it('writes everything that was chosen', () => {
	const text = manifest({
		name: 'web',
		command: "sh -c 'echo hi: there'",
		workingDir: '~/web',
		port: 'fixed',
		portNumber: '8000',
		env: [
			{ name: 'A', value: 'x: y' },
			{ name: '', value: 'left out' },
		],
		envFile: '.env',
		labels: 'team=web, odd=a,canary',
		enabled: false,
		probe: 'http',
		probePath: '/health',
		subdomain: 'web',
		memoryMax: '512Mi',
		restart: 'OnFailure',
	});
	expect(text).toBe(`apiVersion: supervisor.dev/v1
kind: Service
metadata:
  name: web
  labels: {team: web, odd: a, canary: ""}
spec:
  command: "sh -c 'echo hi: there'"
  workingDir: ~/web
  enabled: false
  port: 8000
  env:
    A: "x: y"
  envFile: [.env]
  restart: {policy: OnFailure}
  probes:
    readiness: {httpGet: {path: /health}}
  expose: {subdomain: web}
  resources: {memoryMax: "512Mi"}
`);
});

it('knows which input a problem is about', () => {
	expect(inputOf('spec.command')).toBe('command');
	expect(inputOf('spec.env.A')).toBe('env');
	expect(inputOf('spec.envFile[0]')).toBe('envFile');
	expect(inputOf(undefined)).toBeUndefined();
});
