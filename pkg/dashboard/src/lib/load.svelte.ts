// Reading what the stream does not carry: once, again when asked, or every so often while somebody looks.

export class Loader<T> {
	data = $state.raw<T>();
	error = $state.raw<unknown>();
	loading = $state(false);
	private readonly read: (signal: AbortSignal) => Promise<T>;
	private current: AbortController | undefined;

	constructor(read: (signal: AbortSignal) => Promise<T>) {
		this.read = read;
	}

	/** Reads anew; what was read before stays until then. */
	load = async (): Promise<void> => {
		this.current?.abort();
		const control = new AbortController();
		this.current = control;
		this.loading = true;
		try {
			const data = await this.read(control.signal);
			if (this.current !== control) return;
			this.data = data;
			this.error = undefined;
		} catch (error) {
			if (this.current === control && !control.signal.aborted) this.error = error;
		} finally {
			if (this.current === control) this.loading = false;
		}
	};

	stop = (): void => {
		this.current?.abort();
		this.current = undefined;
	};
}

/** every calls a function now and then until what it returns is called. It rests while the page is hidden. */
export function every(ms: number, run: () => unknown): () => void {
	run();
	const timer = setInterval(() => {
		if (!document.hidden) run();
	}, ms);
	return () => clearInterval(timer);
}
