// Server-sent events over fetch. EventSource hides heartbeats and status codes; we need both: silence that lasts longer than
// the heartbeat is a dead connection, and 401 means that somebody has to log in.

export interface Message {
	id: string;
	event: string;
	data: string;
}

/** Parser turns chunks of text into messages. Comments are heartbeats and not told. */
export class Parser {
	private rest = '';
	private id = '';
	private event = '';
	private data: string[] = [];

	push(chunk: string, emit: (message: Message) => void): void {
		const text = this.rest + chunk;
		let from = 0;
		for (;;) {
			const end = text.indexOf('\n', from);
			if (end < 0) break;
			const line = text.charCodeAt(end - 1) === 13 && end > from ? text.slice(from, end - 1) : text.slice(from, end);
			from = end + 1;
			this.line(line, emit);
		}
		this.rest = text.slice(from);
	}

	private line(line: string, emit: (message: Message) => void): void {
		if (line === '') {
			if (this.data.length > 0) emit({ id: this.id, event: this.event || 'message', data: this.data.join('\n') });
			this.event = '';
			this.data = [];
			return;
		}
		if (line.startsWith(':')) return;
		const colon = line.indexOf(':');
		const field = colon < 0 ? line : line.slice(0, colon);
		let value = colon < 0 ? '' : line.slice(colon + 1);
		if (value.startsWith(' ')) value = value.slice(1);
		if (field === 'data') this.data.push(value);
		else if (field === 'event') this.event = value;
		else if (field === 'id') this.id = value;
	}
}

export type State = 'connecting' | 'open' | 'lost' | 'refused';

export interface StreamOptions {
	/** The address to connect to; asked for anew each time. */
	url: () => string;
	message: (message: Message) => void;
	state?: (state: State, why: string) => void;
	/** Silence after which the connection counts as dead; the server's heartbeat is 15 s. */
	silence?: number;
	/** Whether to connect again when the server ends the stream; `end` events of log streams say that nothing follows. */
	again?: boolean;
}

/** The waits before the first, second, ... attempt to connect again. */
export function backoff(attempt: number): number {
	return Math.min(15_000, 250 * 2 ** Math.min(attempt, 6));
}

/** Stream keeps a connection open until close(), and resumes where it was. */
export class Stream {
	lastId = '';
	private readonly options: StreamOptions;
	private attempt = 0;
	private current: AbortController | undefined;
	private timer: ReturnType<typeof setTimeout> | undefined;
	private watchdog: ReturnType<typeof setTimeout> | undefined;
	private closed = false;

	constructor(options: StreamOptions) {
		this.options = options;
		void this.connect();
	}

	close(): void {
		this.closed = true;
		clearTimeout(this.timer);
		clearTimeout(this.watchdog);
		this.current?.abort();
	}

	/** Connects at once: after sleep, or when the network is back. A connection that is there is not trusted. */
	reconnect(): void {
		if (this.closed) return;
		this.attempt = 0;
		this.current?.abort();
		clearTimeout(this.timer);
		void this.connect();
	}

	private alive(): void {
		clearTimeout(this.watchdog);
		this.watchdog = setTimeout(() => this.current?.abort(), this.options.silence ?? 20_000);
	}

	private async connect(): Promise<void> {
		const control = new AbortController();
		this.current = control;
		const { message, state } = this.options;
		if (this.attempt === 0) state?.('connecting', '');
		this.alive();
		let why = 'the connection ended';
		try {
			const headers: Record<string, string> = { Accept: 'text/event-stream' };
			if (this.lastId) headers['Last-Event-ID'] = this.lastId;
			const response = await fetch(this.options.url(), { headers, signal: control.signal, credentials: 'same-origin', cache: 'no-store' });
			if (response.status === 401 || response.status === 403) {
				state?.('refused', 'you are not logged in');
				this.close();
				return;
			}
			if (!response.ok || !response.body) throw new Error(await detail(response));
			state?.('open', '');
			this.attempt = 0;
			const parser = new Parser();
			const decoder = new TextDecoder();
			const reader = response.body.getReader();
			for (;;) {
				const { done, value } = await reader.read();
				if (done) break;
				this.alive();
				parser.push(decoder.decode(value, { stream: true }), (m) => {
					if (m.id) this.lastId = m.id;
					message(m);
				});
			}
		} catch (error) {
			why = control.signal.aborted ? 'nothing was heard for too long' : error instanceof Error ? error.message : String(error);
		}
		clearTimeout(this.watchdog);
		if (this.closed || this.current !== control || this.options.again === false) return;
		state?.('lost', why);
		this.timer = setTimeout(() => void this.connect(), backoff(this.attempt++));
	}
}

async function detail(response: Response): Promise<string> {
	try {
		const body = (await response.json()) as { detail?: string };
		return body.detail ?? response.statusText;
	} catch {
		return `${response.status} ${response.statusText}`;
	}
}
