import type { Problem } from './types';

/** An error that the API has answered with, in words that a person can act on. */
export class ApiError extends Error {
	readonly problem: Problem;

	constructor(problem: Problem) {
		super(problem.detail || problem.title);
		this.name = 'ApiError';
		this.problem = problem;
	}

	get status(): number {
		return this.problem.status;
	}
}

/** The supervisor did not answer at all. */
export class Unreachable extends Error {
	constructor(cause: unknown) {
		super('Supervisor cannot be reached. It may be restarting, or the network between you and it is down.', { cause });
		this.name = 'Unreachable';
	}
}

export type Query = Record<string, string | number | boolean | undefined | null | (string | number)[]>;

export interface Options {
	query?: Query;
	/** Sent as JSON. */
	json?: unknown;
	/** Sent as it is, as YAML unless type says otherwise. */
	text?: string;
	type?: string;
	headers?: Record<string, string>;
	signal?: AbortSignal;
}

/** Whoever wants to know that we are not logged in (any more) listens for this on window. */
export const LOGGED_OUT = 'supervisor:logged-out';

/** url renders a path with its query; what is undefined, null or empty is left out. */
export function url(path: string, query?: Query): string {
	const params = new URLSearchParams();
	for (const [name, value] of Object.entries(query ?? {})) {
		for (const one of Array.isArray(value) ? value : [value]) {
			if (one !== undefined && one !== null && one !== '') params.append(name, String(one));
		}
	}
	const text = params.toString();
	return text ? `${path}?${text}` : path;
}

/** request sends a request and returns the response when it is a good one. */
export async function request(method: string, path: string, options: Options = {}): Promise<Response> {
	const headers: Record<string, string> = { Accept: 'application/json', ...options.headers };
	let body: string | undefined;
	if (options.json !== undefined) {
		headers['Content-Type'] = 'application/json';
		body = JSON.stringify(options.json);
	} else if (options.text !== undefined) {
		headers['Content-Type'] = options.type ?? 'application/yaml';
		body = options.text;
	}
	let response: Response;
	try {
		response = await fetch(url(path, options.query), { method, headers, body, signal: options.signal, credentials: 'same-origin' });
	} catch (cause) {
		if (options.signal?.aborted) throw cause;
		throw new Unreachable(cause);
	}
	if (response.ok || response.status === 304) return response;
	const problem = await problemOf(response);
	if (problem.status === 401 && typeof window !== 'undefined') window.dispatchEvent(new Event(LOGGED_OUT));
	throw new ApiError(problem);
}

async function problemOf(response: Response): Promise<Problem> {
	const fallback: Problem = { status: response.status, title: response.statusText, detail: `The answer was ${response.status} ${response.statusText}.` };
	try {
		if (!/json/.test(response.headers.get('Content-Type') ?? '')) return fallback;
		return { ...fallback, ...((await response.json()) as Partial<Problem>) };
	} catch {
		return fallback;
	}
}

async function json<T>(method: string, path: string, options?: Options): Promise<T> {
	const response = await request(method, path, options);
	return (await response.json()) as T;
}

/** A name as a part of a path. */
export const part = encodeURIComponent;

export const api = {
	get: <T>(path: string, query?: Query, signal?: AbortSignal) => json<T>('GET', path, { query, signal }),
	post: <T>(path: string, options?: Options) => json<T>('POST', path, options),
	put: <T>(path: string, options?: Options) => json<T>('PUT', path, options),
	delete: <T>(path: string, options?: Options) => json<T>('DELETE', path, options),
};

/** message is an error in words, with the fields at fault. */
export function message(error: unknown): string {
	if (error instanceof ApiError) {
		const fields = (error.problem.errors ?? []).filter((e) => !error.message.includes(e.detail)).map((e) => `${e.field}: ${e.detail}`);
		return [error.message, ...fields].join('\n');
	}
	return error instanceof Error ? error.message : String(error);
}
