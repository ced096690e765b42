// The store that pages read: what should run and what is observed of it, up to date.

import { SvelteMap } from 'svelte/reactivity';
import { api, LOGGED_OUT, part } from '../api/client';
import type { Agent, Change, CronJob, CronJobStatus, Event, Key, List, ManifestProblem, MetricsNow, Recent, Service, ServiceStatus, Usage, Version } from '../api/types';
import { extend, fromRecent, none, type Trails } from '../trails';
import { Hub, keyOf, type News, type Observed, type Order } from './hub';
import type { State } from './sse';

const EVENTS = 300;
class Live {
	/** Services and cron jobs by name, in full, their status included. */
	readonly services = new SvelteMap<string, Service>();
	readonly cronjobs = new SvelteMap<string, CronJob>();
	/** The latest events, newest first. */
	events = $state.raw<Event[]>([]);
	/** What is wrong with the manifest folder. */
	problems = $state.raw<ManifestProblem[]>([]);
	usage = $state.raw<MetricsNow>({ services: {}, cronjobs: {} });
	/** The last hour, coarsely. */
	trails = $state.raw<Trails>(none);
	connection = $state.raw<{ state: State; why: string; since: number }>({ state: 'connecting', why: '', since: Date.now() });
	/** True once there is something to show. */
	loaded = $state(false);
	loggedOut = $state(false);
	version = $state.raw<Version | undefined>();
	/** The coding agents that are known here. */
	agents = $state.raw<Agent[]>([]);

	private tell: (order: Order) => void = () => undefined;
	private started = false;
	private readonly observed = new Map<string, Observed>();
	private readonly fetching = new Set<string>();
	private problemsTimer: ReturnType<typeof setTimeout> | undefined;

	/** Connects. Called once, by the app. */
	start(): void {
		if (this.started) return;
		this.started = true;
		window.addEventListener(LOGGED_OUT, () => (this.loggedOut = true));
		this.connect();
		// Not to wait for the stream: what it begins with is read once more, for what has changed in between.
		void this.load();
		document.addEventListener('visibilitychange', () => this.tell({ type: 'visible', visible: !document.hidden }));
		window.addEventListener('online', () => this.tell({ type: 'reconnect' }));
		window.addEventListener('offline', () => (this.connection = { state: 'lost', why: 'this device is offline', since: Date.now() }));
		window.addEventListener('pagehide', () => this.tell({ type: 'bye' }));
		window.addEventListener('pageshow', (e) => e.persisted && location.reload());
		// A clock that has jumped means that the machine slept: connections from before are not to be trusted.
		let last = Date.now();
		setInterval(() => {
			if (Date.now() - last > 30_000) this.tell({ type: 'reconnect' });
			last = Date.now();
		}, 5_000);
	}

	reconnect(): void {
		this.tell({ type: 'reconnect' });
	}

	service(name: string): Service | undefined {
		return this.services.get(name);
	}

	usageOf(key: Key): Usage | undefined {
		return (key.kind === 'Service' ? this.usage.services : this.usage.cronjobs)[key.name];
	}

	/** Takes a change that an answer of the API has told before the stream does. */
	expect(service: Service): void {
		this.services.set(service.metadata.name, service);
	}

	private connect(): void {
		const hear = (news: News) => this.hear(news);
		if (typeof SharedWorker === 'function') {
			try {
				const worker = new SharedWorker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'supervisor-live' });
				worker.port.onmessage = (m: MessageEvent<News>) => hear(m.data);
				worker.port.start();
				this.tell = (order) => worker.port.postMessage(order);
				worker.onerror = () => this.alone(hear);
				return;
			} catch {
				// Some browsers have the constructor and refuse its use.
			}
		}
		this.alone(hear);
	}

	private alone(hear: (news: News) => void): void {
		const hub = new Hub();
		this.tell = (order) => hub.order(hear, order);
		hub.join(hear);
	}

	private hear(news: News): void {
		switch (news.type) {
			case 'state':
				this.connection = news;
				if (news.state === 'refused') this.loggedOut = true;
				if (news.state === 'open') {
					this.loggedOut = false;
					void this.about();
				}
				return;
			case 'all':
				this.events = merge(news.events, this.events);
				this.observed.clear();
				for (const o of news.objects) this.observed.set(keyOf(o.key), o);
				void this.load();
				return;
			case 'changes':
				this.apply(news.changes);
				return;
			case 'usage':
				this.usage = news.usage;
				this.trails = extend(this.trails, news.usage, Date.now());
		}
	}

	/** Reads all objects anew: at the start, and whenever the stream began with a snapshot. */
	private async load(): Promise<void> {
		try {
			void this.readTrails();
			const [services, cronjobs] = await Promise.all([
				api.get<List<Service>>('/api/v1/services'),
				api.get<List<CronJob>>('/api/v1/cronjobs'),
				this.readProblems(),
			]);
			const names = new Set(services.items.map((s) => s.metadata.name));
			for (const name of this.services.keys()) if (!names.has(name)) this.services.delete(name);
			for (const s of services.items) this.services.set(s.metadata.name, s);
			const jobs = new Set(cronjobs.items.map((j) => j.metadata.name));
			for (const name of this.cronjobs.keys()) if (!jobs.has(name)) this.cronjobs.delete(name);
			for (const j of cronjobs.items) this.cronjobs.set(j.metadata.name, j);
			this.loaded = true;
		} catch {
			// Logged out, or the connection broke again: either shows, and the next snapshot tries anew.
		}
	}

	private async readTrails(): Promise<void> {
		try {
			this.trails = extend(fromRecent(await api.get<Recent>('/api/v1/metrics/recent')), this.usage, Date.now());
		} catch {
			// Charts begin with now, then.
		}
	}

	private async about(): Promise<void> {
		try {
			const before = this.version;
			this.version = await api.get<Version>('/api/v1/version');
			this.agents = await api.get<Agent[]>('/api/agents');
			if (before && before.version !== this.version.version) this.outdated = true;
		} catch {
			// The connection shows it.
		}
	}

	/** True when another version of the supervisor answers than the one that served this page. */
	outdated = $state(false);

	private apply(changes: Change[]): void {
		const fresh: Event[] = [];
		for (const c of changes) {
			if (c.kind === 'event' && c.event) {
				fresh.unshift(c.event);
				if (/Manifest|Prune|Vanish/.test(c.event.reason)) this.problemsSoon();
			} else if (c.key && c.kind === 'status') {
				const status = c.status ?? c.cronjob;
				if (status) this.status(c.key, status);
			} else if (c.key && c.kind === 'object') {
				if (c.deleted) (c.key.kind === 'Service' ? this.services : this.cronjobs).delete(c.key.name);
				else void this.read(c.key);
				this.problemsSoon();
			}
		}
		if (fresh.length > 0) this.events = merge(fresh, this.events);
	}

	private status(key: Key, status: ServiceStatus | CronJobStatus): void {
		if (key.kind === 'Service') {
			const service = this.services.get(key.name);
			if (!service) return void this.read(key);
			const valid = (s: ServiceStatus | undefined) => s?.conditions?.find((c) => c.type === 'ManifestValid')?.status;
			if (valid(service.status) !== valid(status as ServiceStatus)) this.problemsSoon();
			this.services.set(key.name, { ...service, status: status as ServiceStatus });
		} else {
			const job = this.cronjobs.get(key.name);
			if (!job) return void this.read(key);
			this.cronjobs.set(key.name, { ...job, status: status as CronJobStatus });
		}
	}

	/** Reads one object whose manifest has changed. */
	private async read(key: Key): Promise<void> {
		const id = keyOf(key);
		if (this.fetching.has(id)) return;
		this.fetching.add(id);
		try {
			if (key.kind === 'Service') this.services.set(key.name, await api.get<Service>(`/api/v1/services/${part(key.name)}`));
			else this.cronjobs.set(key.name, await api.get<CronJob>(`/api/v1/cronjobs/${part(key.name)}`));
		} catch {
			// It is gone again; the stream says so.
		} finally {
			this.fetching.delete(id);
		}
	}

	private problemsSoon(): void {
		clearTimeout(this.problemsTimer);
		this.problemsTimer = setTimeout(() => void this.readProblems(), 150);
	}

	private async readProblems(): Promise<void> {
		try {
			this.problems = (await api.get<{ items: ManifestProblem[] }>('/api/v1/problems')).items;
		} catch {
			// As in load.
		}
	}
}

/** merge joins two lists of events, newest first, each event once. */
export function merge(a: Event[], b: Event[], most = EVENTS): Event[] {
	const byId = new Map<number, Event>();
	for (const e of [...a, ...b]) byId.set(e.id, e);
	return [...byId.values()].sort((x, y) => y.id - x.id).slice(0, most);
}

export const live = new Live();
