// The manifest files, and what an edit of one would do.

import { api, request } from '../api/client';
import type { Applied, Key, ManifestProblem } from '../api/types';
import type { Tone } from '../state';
import type { Schema, Schemas } from './schema';

export interface FileRow {
	path: string;
	size: number;
	modified: string;
	etag: string;
	read_only?: string;
	objects: { key: Key; line: number; in_force: boolean }[];
	problems: ManifestProblem[];
	git?: string;
}

export interface Files {
	folder: string;
	files: FileRow[];
	problems: ManifestProblem[];
	repository?: { branch: string; head: string; commits: boolean };
}

export interface Step {
	key: Key;
	action: 'add' | 'change' | 'remove';
	file: string;
	effect: 'start' | 'restart' | 'roll' | 'stop' | 'scale' | 'inPlace' | 'none';
	reason: string;
	fields: { field: string; from?: unknown; to?: unknown }[];
}

export interface Preview {
	valid: boolean;
	problems: ManifestProblem[];
	diff: string;
	steps: Step[];
}

export interface Written {
	path: string;
	result: string;
	etag?: string;
	items: Applied[];
	problems: ManifestProblem[];
}

export interface Text {
	path: string;
	text: string;
	etag: string;
}

const FILE = '/api/v1/manifests/file';

export const listFiles = (signal?: AbortSignal): Promise<Files> => api.get<Files>('/api/v1/manifests', undefined, signal);

export async function readFile(path: string, signal?: AbortSignal): Promise<Text> {
	const response = await request('GET', FILE, { query: { path }, signal, headers: { Accept: 'application/yaml' } });
	return { path, text: await response.text(), etag: response.headers.get('ETag') ?? '' };
}

/** etag is that of the text which was seen; without one there must not be a file yet. */
export const writeFile = (path: string, text: string, etag: string | undefined, force: boolean): Promise<Written> =>
	api.put<Written>(FILE, { query: { path, force: force || undefined }, text, headers: etag === undefined ? { 'If-None-Match': '*' } : { 'If-Match': etag } });

export const deleteFile = (path: string, etag: string): Promise<Written> => api.delete<Written>(FILE, { query: { path }, headers: { 'If-Match': etag } });

/** Without a text: what the removal of the file would do. */
export const preview = (path: string, text: string | undefined, signal?: AbortSignal): Promise<Preview> =>
	api.post<Preview>('/api/v1/manifests/preview', { json: { path, text }, signal });

/** The file that an object comes from. */
export function fileOf(files: Files, key: Key): { path: string; line: number } | undefined {
	const same = (k: Key) => k.kind === key.kind && k.name.toLowerCase() === key.name.toLowerCase();
	for (const good of [true, false]) {
		for (const f of files.files) {
			const o = f.objects.find((o) => same(o.key) && (o.in_force || !good));
			if (o) return { path: f.path, line: o.line };
		}
	}
	return undefined;
}

let known: Promise<Schemas> | undefined;

/** The schemas that completion and help go by. Without them the editor works all the same. */
export function schemas(): Promise<Schemas> {
	const one = async (name: string) => (await (await request('GET', `/schemas/${name}.schema.json`)).json()) as Schema;
	known ??= Promise.all([one('service'), one('cronjob')])
		.then(([Service, CronJob]) => ({ Service, CronJob }))
		.catch(() => {
			known = undefined;
			return {};
		});
	return known;
}

const effects: Record<Step['effect'], { tone: Tone; word: string }> = {
	start: { tone: 'ok', word: 'starts' },
	restart: { tone: 'warn', word: 'restarts' },
	roll: { tone: 'busy', word: 'is rolled out' },
	stop: { tone: 'bad', word: 'stops' },
	scale: { tone: 'busy', word: 'is scaled' },
	inPlace: { tone: 'idle', word: 'changes in place' },
	none: { tone: 'idle', word: 'changes' },
};

export function effectOf(s: Step): { tone: Tone; word: string } {
	if (s.action === 'add' && s.effect !== 'start') return { tone: 'ok', word: 'is added' };
	if (s.action === 'remove' && s.effect !== 'stop') return { tone: 'bad', word: 'is removed' };
	return effects[s.effect];
}

/** What came of a save, in a sentence. */
export function outcome(w: Written): string {
	const words = w.items.map((i) => `${i.key.name}${i.phase ? ` is ${i.phase}` : ''}${i.pid ? ` (process ${i.pid})` : ''}`);
	return `${w.path} was saved${words.length > 0 ? `: ${words.join(', ')}` : ''}.`;
}
