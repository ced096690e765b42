// Where the lines of a view come from: the live stream, and the pages of what was before.

import { api } from '../api/client';
import { Stream, type State } from '../live/sse';
import { own, split, type Fresh, type Level } from './model';

export interface Filter {
	/** None means all. */
	services: string[];
	level: string;
	stream: string;
	/** Words, or a regular expression. */
	text: string;
	regexp: boolean;
	/** RFC 3339; empty for no bound. A view with an end does not follow. */
	since: string;
	until: string;
	/** The entry to begin at. */
	at: string;
}

export const query = (f: Filter) => ({
	service: f.services,
	level: f.level,
	stream: f.stream,
	q: f.regexp ? '' : f.text,
	regexp: f.regexp ? f.text : '',
	since: f.since,
});

interface Entry {
	service: string;
	stream: string;
	level: string;
	time: string;
	text: string;
	cursor: string;
}

interface Page {
	rows: Entry[];
	next: string;
	partial?: boolean;
}

export interface Older {
	lines: Fresh[];
	/** Where the next page begins; empty when this was the last. */
	next: string;
}

/** A page of entries as lines, oldest first. */
export async function older(f: Filter, place: { cursor?: string; through?: string }, limit: number, signal: AbortSignal): Promise<Older> {
	const page = await api.get<Page>('/api/v1/logs', { ...query(f), until: place.cursor || place.through ? '' : f.until, ...place, limit }, signal);
	return { lines: page.rows.reverse().flatMap(split), next: page.next };
}

interface Told {
	service: string;
	stream: string;
	time: string;
	text: string;
	level?: string;
	entry?: string;
}

const fresh = (l: Told): Fresh => ({
	service: l.service,
	stream: l.stream as Fresh['stream'],
	time: Date.parse(l.time),
	text: l.text,
	level: (l.level ?? 'info') as Level,
	entry: l.entry ?? '',
});

export interface Sink {
	lines: (lines: Fresh[]) => void;
	state: (state: State, why: string) => void;
	end?: () => void;
}

/** Lines come in faster than a screen can show them: they are handed on once a frame. */
class Batch {
	private lines: Fresh[] = [];
	private asked = false;
	private readonly hand: (lines: Fresh[]) => void;

	constructor(hand: (lines: Fresh[]) => void) {
		this.hand = hand;
	}

	add(line: Fresh): void {
		this.lines.push(line);
		if (this.asked) return;
		this.asked = true;
		// A tab that nobody sees draws no frames: it takes its lines by the clock.
		if (document.hidden) setTimeout(() => this.flush(), 500);
		else requestAnimationFrame(() => this.flush());
	}

	flush(): void {
		this.asked = false;
		const { lines } = this;
		this.lines = [];
		if (lines.length > 0) this.hand(lines);
	}
}

/** Follows what matches a filter. tail is how many of the last lines to begin with; after resumes behind an entry. */
export function follow(f: Filter, start: { tail?: number; after?: string }, sink: Sink): () => void {
	const params = new URLSearchParams({ follow: '1', tail: String(start.tail ?? 0) });
	for (const [name, value] of Object.entries(query(f))) {
		for (const one of Array.isArray(value) ? value : [value]) if (one) params.append(name, one);
	}
	if (start.after) params.set('last_event_id', `${start.after}+0`);
	return lines(`/api/v1/logs/stream?${params}`, sink);
}

/** Follows what a run of a cron job prints, to its end. */
export const run = (job: string, id: number, sink: Sink): (() => void) =>
	lines(`/api/v1/cronjobs/${encodeURIComponent(job)}/runs/${id}/output/stream`, sink);

function lines(address: string, sink: Sink): () => void {
	const batch = new Batch(sink.lines);
	const stream = new Stream({
		url: () => address,
		state: sink.state,
		message: (m) => {
			if (m.event === 'line') batch.add(fresh(JSON.parse(m.data) as Told));
			else if (m.event === 'end') {
				stream.close();
				batch.flush();
				sink.end?.();
			}
		},
	});
	return () => stream.close();
}

const OWN_EVERY = 2_000;

/** Follows the supervisor's own log, which has no stream: it is asked for its end. */
export function ownLog(sink: Sink): () => void {
	let total = -1;
	let timer: ReturnType<typeof setTimeout>;
	let closed = false;
	const look = async () => {
		try {
			const limit = 1000;
			const got = await api.get<{ lines: string[]; total: number }>('/api/supervisor/logs', { lines: limit });
			// A file that has become shorter was rotated: all of it is new.
			const news = total < 0 || got.total < total ? got.lines.length : Math.min(got.lines.length, got.total - total);
			total = got.total;
			if (closed) return;
			sink.state('open', '');
			if (news > 0) sink.lines(got.lines.slice(got.lines.length - news).map(own));
		} catch (error) {
			if (!closed) sink.state('lost', error instanceof Error ? error.message : String(error));
		}
		if (!closed) timer = setTimeout(() => void look(), OWN_EVERY);
	};
	void look();
	return () => {
		closed = true;
		clearTimeout(timer);
	};
}
