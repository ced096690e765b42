// The form of a new service, and the manifest that it makes. Pure.

export interface Form {
	name: string;
	command: string;
	workingDir: string;
	port: 'none' | 'auto' | 'fixed';
	portNumber: string;
	env: { name: string; value: string }[];
	envFile: string;
	labels: string;
	enabled: boolean;
	probe: 'none' | 'http' | 'tcp';
	probePath: string;
	subdomain: string;
	memoryMax: string;
	restart: 'Always' | 'OnFailure' | 'Never';
}

export const blank = (): Form => ({
	name: '',
	command: '',
	workingDir: '',
	port: 'none',
	portNumber: '',
	env: [],
	envFile: '',
	labels: '',
	enabled: true,
	probe: 'none',
	probePath: '/',
	subdomain: '',
	memoryMax: '',
	restart: 'Always',
});

/** Words that YAML reads as something else than text. */
const special = /^(true|false|yes|no|on|off|null|~|y|n)$/i;

/** scalar writes a text as YAML: plain where that reads back as the same text, else quoted. */
export function scalar(text: string): string {
	// Within a plain text a colon or a hash is one only beside a space.
	const plain = /^[A-Za-z_./~$][^\x00-\x1f]*$/.test(text) && !/: |:$| #|\s$/.test(text) && !special.test(text) && !/^\.\d/.test(text);
	return plain ? text : JSON.stringify(text);
}

const mapping = (pairs: [string, string][]): string => `{${pairs.map(([k, v]) => `${key(k)}: ${flow(v)}`).join(', ')}}`;
const key = (k: string) => (/^[A-Za-z_][\w./-]*$/.test(k) && !special.test(k) ? k : JSON.stringify(k));
// Within braces commas and brackets end a plain text.
const flow = (v: string) => (/[,[\]{}]/.test(v) ? JSON.stringify(v) : scalar(v));

/** labels reads `team=web, tier=api`. */
export function labels(text: string): [string, string][] {
	return text
		.split(',')
		.map((p) => p.trim())
		.filter(Boolean)
		.map((p) => {
			const at = p.search(/[=:]/);
			return at < 0 ? [p, ''] : [p.slice(0, at).trim(), p.slice(at + 1).trim()];
		});
}

/** manifest is the YAML of a form; what is left at its default is left out. */
export function manifest(f: Form): string {
	const out = ['apiVersion: supervisor.dev/v1', 'kind: Service', 'metadata:', `  name: ${scalar(f.name.trim())}`];
	const tags = labels(f.labels);
	if (tags.length > 0) out.push(`  labels: ${mapping(tags)}`);
	out.push('spec:', `  command: ${scalar(f.command.trim())}`);
	if (f.workingDir.trim()) out.push(`  workingDir: ${scalar(f.workingDir.trim())}`);
	if (!f.enabled) out.push('  enabled: false');
	if (f.port === 'auto') out.push('  port: auto');
	if (f.port === 'fixed' && f.portNumber.trim()) out.push(`  port: ${/^\d+$/.test(f.portNumber.trim()) ? f.portNumber.trim() : JSON.stringify(f.portNumber)}`);
	const env = f.env.filter((e) => e.name.trim());
	if (env.length > 0) {
		out.push('  env:');
		for (const e of env) out.push(`    ${key(e.name.trim())}: ${scalar(e.value)}`);
	}
	if (f.envFile.trim()) out.push(`  envFile: [${flow(f.envFile.trim())}]`);
	if (f.restart !== 'Always') out.push(`  restart: {policy: ${f.restart}}`);
	if (f.probe === 'http') out.push('  probes:', `    readiness: {httpGet: {path: ${flow(f.probePath.trim() || '/')}}}`);
	if (f.probe === 'tcp') out.push('  probes:', '    readiness: {tcpSocket: {}}');
	if (f.subdomain.trim()) out.push(`  expose: {subdomain: ${flow(f.subdomain.trim())}}`);
	if (f.memoryMax.trim()) out.push(`  resources: {memoryMax: ${flow(f.memoryMax.trim())}}`);
	return out.join('\n') + '\n';
}

/** Which input a problem of the manifest belongs to. */
export function inputOf(field: string | undefined): keyof Form | undefined {
	if (!field) return undefined;
	const table: [RegExp, keyof Form][] = [
		[/^metadata\.name/, 'name'],
		[/^metadata\.labels/, 'labels'],
		[/^spec\.command/, 'command'],
		[/^spec\.workingDir/, 'workingDir'],
		[/^spec\.port/, 'portNumber'],
		[/^spec\.envFile/, 'envFile'],
		[/^spec\.env/, 'env'],
		[/^spec\.probes/, 'probePath'],
		[/^spec\.expose/, 'subdomain'],
		[/^spec\.resources/, 'memoryMax'],
	];
	return table.find(([pattern]) => pattern.test(field))?.[1];
}
