import { expect, it } from 'vitest';
import cronjob from '../../../../../manifests/schemas/cronjob.schema.json?raw';
import service from '../../../../../manifests/schemas/service.schema.json?raw';
import { about, choices, lookup, place, type Schema, type Schemas } from './schema';

const schemas: Schemas = { Service: JSON.parse(service) as Schema, CronJob: JSON.parse(cronjob) as Schema };

/** The place of the mark | in a text. */
function at(marked: string) {
	const before = marked.slice(0, marked.indexOf('|')).split('\n');
	return place(marked.replace('|', ''), before.length - 1, (before[before.length - 1] as string).length);
}
const offered = (marked: string) => {
	const p = at(marked);
	return p ? choices(schemas, p).map((c) => c.label) : undefined;
};

const head = 'apiVersion: supervisor.dev/v1\nkind: Service\nmetadata:\n  name: web\nspec:\n';

it('knows where the cursor is', () => {
	expect(at(`${head}  |`)).toMatchObject({ path: ['spec'], at: 'key', word: '', kind: 'Service' });
	expect(at(`${head}  probes:\n    readiness:\n      httpGet:\n        pa|`)).toMatchObject({ path: ['spec', 'probes', 'readiness', 'httpGet'], word: 'pa' });
	expect(at(`${head}  restart:\n    policy: Al|`)).toMatchObject({ path: ['spec', 'restart', 'policy'], at: 'value', word: 'Al' });
	expect(at(`${head}  dependsOn:\n    - name: db\n      cond|`)).toMatchObject({ path: ['spec', 'dependsOn', '[]'], siblings: ['name'] });
	expect(at(`${head}  dependsOn:\n  - name: db\n  - |`)).toMatchObject({ path: ['spec', 'dependsOn', '[]'] });
	expect(at(`${head}  dependsOn:\n    - name: db\n      condition: |`)).toMatchObject({ path: ['spec', 'dependsOn', '[]', 'condition'], at: 'value' });
	expect(at(`${head}  command: x\n\n  # a comment\n  |\n  port: 80`)).toMatchObject({ path: ['spec'], siblings: ['command', 'port'] });
	expect(at(`${head}---\nkind: CronJob\nspec:\n  |`)).toMatchObject({ path: ['spec'], kind: 'CronJob' });
	expect(at(`${head}  # com|`)).toBeUndefined();
	expect(at(`${head}  stop: {sig|`)).toBeUndefined();
});

it('offers what can stand there, and not what is there', () => {
	expect(offered('|')).toEqual(['apiVersion', 'kind', 'metadata', 'spec']);
	expect(offered('kind: |')).toEqual(['Service', 'CronJob']);
	expect(offered(`${head}  |`)).toContain('probes');
	expect(offered(`${head}  command: x\n  |`)).not.toContain('command');
	expect(offered(`${head}  restart:\n    policy: |`)).toEqual(['Always', 'OnFailure', 'Never']);
	expect(offered(`${head}  enabled: |`)).toEqual(['true', 'false']);
	expect(offered(`${head}  port: |`)).toEqual(['auto']);
	expect(offered(`${head}  dependsOn:\n    - name: db\n      condition: |`)).toEqual(['started', 'ready', 'completed']);
	expect(offered(`${head}  dependsOn:\n    - |`)).toEqual(['name', 'condition']);
	expect(offered('kind: CronJob\nspec:\n  sch|')).toContain('schedule');
	expect(offered(`${head}  env:\n    A: |`)).toEqual([]);
});

it('opens mappings and lists', () => {
	const c = choices(schemas, at(`${head}  |`)!);
	const apply = (label: string) => c.find((x) => x.label === label)?.apply;
	expect(apply('command')).toBe('command: ');
	expect(apply('probes')).toBe('probes:\n    ');
	expect(apply('dependsOn')).toBe('dependsOn:\n    - ');
});

it('explains fields', () => {
	expect(about(lookup(schemas.Service, ['spec', 'restart', 'policy'])!)).toBe('One of Always, OnFailure, Never. Default: Always.');
	expect(about(lookup(schemas.Service, ['spec', 'resources', 'memoryMax'])!)).toContain('Such as 512Mi, 1Gi.');
	expect(lookup(schemas.Service, ['spec', 'nothing'])).toBeUndefined();
});
