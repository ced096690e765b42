// A router of real paths. Links are plain anchors; clicks on those that lead to a page are taken here.

export interface Page {
	path: string;
	title: string;
	load: () => Promise<{ default: unknown }>;
}

export type Params = Record<string, string>;

/** match compares a path with a pattern such as /services/:name; undefined when it does not match. */
export function match(pattern: string, path: string): Params | undefined {
	const want = pattern.split('/').filter(Boolean);
	const have = path.split('/').filter(Boolean);
	if (want.length !== have.length) return undefined;
	const params: Params = {};
	for (const [i, piece] of want.entries()) {
		const actual = have[i] as string;
		if (piece.startsWith(':')) {
			try {
				params[piece.slice(1)] = decodeURIComponent(actual);
			} catch {
				return undefined;
			}
		} else if (piece !== actual) return undefined;
	}
	return params;
}

/** Paths that the server answers itself. */
const native = /^\/(api|schemas|metrics$|openapi\.json$|healthz$|readyz$|login$)/;

/** internal says whether a click on an anchor is for us, and where it leads. */
export function internal(event: MouseEvent): URL | undefined {
	if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return undefined;
	const anchor = (event.target as Element | null)?.closest?.('a');
	if (!anchor || !anchor.href || anchor.target || anchor.hasAttribute('download')) return undefined;
	const url = new URL(anchor.href);
	if (url.origin !== location.origin || native.test(url.pathname)) return undefined;
	if (url.pathname === location.pathname && url.search === location.search && url.hash) return undefined;
	return url;
}

class Router {
	path = $state('/');
	query = $state.raw(new URLSearchParams());
	/** Grows with each navigation to another page; the frame moves the focus then. */
	visits = $state(0);
	private guards = new Set<() => string | undefined>();

	start(): void {
		this.read();
		window.addEventListener('popstate', () => {
			this.read();
			this.visits++;
		});
		document.addEventListener('click', (event) => {
			const url = internal(event);
			if (!url) return;
			event.preventDefault();
			this.go(url.pathname + url.search + url.hash);
		});
		window.addEventListener('beforeunload', (event) => {
			if (this.objection()) event.preventDefault();
		});
	}

	/** Goes to a path, unless something there would be lost and the user stays. */
	go(to: string, options: { replace?: boolean } = {}): void {
		const why = this.objection();
		if (why && !confirm(why)) return;
		const before = this.path;
		history[options.replace ? 'replaceState' : 'pushState'](null, '', to);
		this.read();
		if (this.path !== before) {
			this.visits++;
			window.scrollTo(0, 0);
		}
	}

	/** Changes parameters of the query without leaving an entry in the history; null and '' take one away. */
	set(changes: Record<string, string | null | undefined>): void {
		const query = new URLSearchParams(location.search);
		for (const [name, value] of Object.entries(changes)) {
			if (value) query.set(name, value);
			else query.delete(name);
		}
		const text = query.toString();
		history.replaceState(null, '', location.pathname + (text ? `?${text}` : '') + location.hash);
		this.read();
	}

	/** Has guard asked before the page is left: it returns a question when something would be lost. Returns how to end it. */
	guard(guard: () => string | undefined): () => void {
		this.guards.add(guard);
		return () => this.guards.delete(guard);
	}

	private objection(): string | undefined {
		for (const guard of this.guards) {
			const why = guard();
			if (why) return why;
		}
		return undefined;
	}

	private read(): void {
		this.path = location.pathname;
		this.query = new URLSearchParams(location.search);
	}
}

export const router = new Router();
