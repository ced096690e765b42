// Hub owns the one connection to the event stream. It runs in a shared worker, for all tabs together, or in the page where
// the browser has none. A tab that joins is told all that is known; then everybody is told what changes, in small batches.

import type { Change, Event, Key, MetricsNow, Snapshot } from '../api/types';
import { Stream, type Message, type State } from './sse';

export interface Observed {
	key: Key;
	revision: string;
	status?: Change['status'];
	cronjob?: Change['cronjob'];
}

/** What a hub tells its tabs. */
export type News =
	| { type: 'state'; state: State; why: string; since: number }
	| { type: 'all'; objects: Observed[]; events: Event[] }
	| { type: 'changes'; changes: Change[] }
	| { type: 'usage'; usage: MetricsNow };

/** What a tab tells the hub. */
export type Order = { type: 'visible'; visible: boolean } | { type: 'reconnect' } | { type: 'bye' };

export const STREAM = '/api/v1/events/stream';
const USAGE = '/api/v1/metrics';
const USAGE_EVERY = 5_000;
const BATCH = 40;
const EVENTS = 300;

export const keyOf = (key: Key): string => `${key.kind}/${key.name}`;

type Send = (news: News) => void;

export class Hub {
	private readonly tabs = new Map<Send, { visible: boolean }>();
	private readonly objects = new Map<string, Observed>();
	private events: Event[] = [];
	private state: News & { type: 'state' } = { type: 'state', state: 'connecting', why: '', since: Date.now() };
	private known = false;
	private usage: MetricsNow | undefined;
	private stream: Stream | undefined;
	private batch: Change[] = [];
	private flushing = false;
	private polling = false;
	private timer: ReturnType<typeof setTimeout> | undefined;

	/** Adds a tab. The connection is made with the first one. */
	join(send: Send): void {
		this.tabs.set(send, { visible: true });
		send(this.state);
		if (this.known) send(this.all());
		if (this.usage) send({ type: 'usage', usage: this.usage });
		if (!this.stream) this.open();
		this.poll();
	}

	order(send: Send, order: Order): void {
		const tab = this.tabs.get(send);
		if (order.type === 'bye') this.tabs.delete(send);
		else if (order.type === 'reconnect') {
			if (this.state.state === 'refused') this.open();
			else this.stream?.reconnect();
		} else if (tab) {
			tab.visible = order.visible;
			this.poll();
		}
	}

	close(): void {
		this.stream?.close();
		clearTimeout(this.timer);
		this.tabs.clear();
	}

	private open(): void {
		this.stream = new Stream({ url: () => STREAM, message: (m) => this.message(m), state: (s, why) => this.turn(s, why) });
	}

	private all(): News {
		return { type: 'all', objects: [...this.objects.values()], events: this.events };
	}

	private tell(news: News): void {
		for (const send of this.tabs.keys()) send(news);
	}

	private turn(state: State, why: string): void {
		const since = state === this.state.state ? this.state.since : Date.now();
		this.state = { type: 'state', state, why, since };
		this.tell(this.state);
		if (state === 'open') {
			this.polling = false;
			this.poll();
		}
	}

	private message(m: Message): void {
		if (m.event === 'snapshot') {
			const snapshot = JSON.parse(m.data) as Snapshot;
			this.objects.clear();
			for (const o of snapshot.objects) this.objects.set(keyOf(o.key), o);
			this.batch = [];
			this.known = true;
			this.tell(this.all());
			return;
		}
		if (m.event !== 'status' && m.event !== 'event' && m.event !== 'object') return;
		const change = JSON.parse(m.data) as Change;
		this.apply(change);
		this.batch.push(change);
		if (this.flushing) return;
		this.flushing = true;
		setTimeout(() => {
			this.flushing = false;
			if (this.batch.length > 0) this.tell({ type: 'changes', changes: this.batch });
			this.batch = [];
		}, BATCH);
	}

	private apply(change: Change): void {
		if (change.kind === 'event' && change.event) {
			this.events = [change.event, ...this.events].slice(0, EVENTS);
			return;
		}
		if (!change.key) return;
		const id = keyOf(change.key);
		if (change.deleted) {
			this.objects.delete(id);
			return;
		}
		const old = this.objects.get(id);
		this.objects.set(id, {
			key: change.key,
			revision: change.revision || old?.revision || '',
			status: change.status ?? old?.status,
			cronjob: change.cronjob ?? old?.cronjob,
		});
	}

	/** Asks for figures, every few seconds and only while somebody looks. */
	private poll(): void {
		if (this.polling || ![...this.tabs.values()].some((t) => t.visible)) return;
		this.polling = true;
		clearTimeout(this.timer);
		const next = () => {
			this.timer = setTimeout(() => {
				this.polling = false;
				this.poll();
			}, USAGE_EVERY);
		};
		if (this.state.state !== 'open') {
			next();
			return;
		}
		fetch(USAGE, { headers: { Accept: 'application/json' }, credentials: 'same-origin' })
			.then(async (response) => {
				if (!response.ok) return;
				this.usage = (await response.json()) as MetricsNow;
				this.tell({ type: 'usage', usage: this.usage });
			})
			.catch(() => undefined) // the stream is what says that the connection is lost
			.finally(next);
	}
}
