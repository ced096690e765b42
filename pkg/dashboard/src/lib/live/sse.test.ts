import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { backoff, Parser, Stream, type Message, type State } from './sse';

describe('Parser', () => {
	const read = (...chunks: string[]) => {
		const parser = new Parser();
		const out: Message[] = [];
		for (const c of chunks) parser.push(c, (m) => out.push(m));
		return out;
	};
	const whole = ': hello\n\nid: 7\nevent: status\ndata: {"a":\ndata: 1}\n\ndata: x\r\n\r\n:alive\n\n';
	const want = [
		{ id: '7', event: 'status', data: '{"a":\n1}' },
		{ id: '7', event: 'message', data: 'x' },
	];

	it('reads messages', () => expect(read(whole)).toEqual(want));
	it('reads them however they are cut', () => {
		for (let i = 1; i < whole.length; i++) expect(read(whole.slice(0, i), whole.slice(i))).toEqual(want);
		expect(read(...whole)).toEqual(want);
	});
	it('does not tell what is not finished', () => expect(read('data: half')).toEqual([]));
});

it('waits longer with each attempt, to a bound', () => {
	const waits = Array.from({ length: 12 }, (_, i) => backoff(i));
	expect(waits[0]).toBe(250);
	for (let i = 1; i < waits.length; i++) expect(waits[i]).toBeGreaterThanOrEqual(waits[i - 1] as number);
	expect(waits.at(-1)).toBe(15_000);
});

describe('Stream', () => {
	interface Call {
		headers: Record<string, string>;
		send: (text: string) => void;
		end: () => void;
		aborted: () => boolean;
	}
	let calls: Call[];
	let status = 200;
	beforeEach(() => {
		vi.useFakeTimers();
		calls = [];
		status = 200;
		vi.stubGlobal('fetch', (_: string, init: RequestInit) => {
			let control!: ReadableStreamDefaultController<Uint8Array>;
			const body = new ReadableStream<Uint8Array>({ start: (c) => void (control = c) });
			init.signal?.addEventListener('abort', () => control.error(new Error('aborted')));
			calls.push({
				headers: init.headers as Record<string, string>,
				send: (text) => control.enqueue(new TextEncoder().encode(text)),
				end: () => control.close(),
				aborted: () => Boolean(init.signal?.aborted),
			});
			return Promise.resolve(new Response(body, { status }));
		});
	});
	afterEach(() => {
		vi.useRealTimers();
		vi.unstubAllGlobals();
	});
	const open = () => {
		const states: State[] = [];
		const got: string[] = [];
		const stream = new Stream({ url: () => '/s', message: (m) => got.push(m.data), state: (s) => states.push(s) });
		return { states, got, stream };
	};
	const settle = () => vi.advanceTimersByTimeAsync(0);

	it('resumes where it was', async () => {
		const { states, got, stream } = open();
		await settle();
		calls[0]!.send('id: 41\ndata: a\n\n');
		await settle();
		calls[0]!.end();
		await settle();
		expect(states).toEqual(['connecting', 'open', 'lost']);
		await vi.advanceTimersByTimeAsync(backoff(0));
		expect(calls[1]!.headers['Last-Event-ID']).toBe('41');
		calls[1]!.send('id: 42\ndata: b\n\n');
		await settle();
		expect(got).toEqual(['a', 'b']);
		expect(states.at(-1)).toBe('open');
		stream.close();
	});

	it('takes silence for death, and heartbeats for life', async () => {
		const { states, stream } = open();
		await settle();
		for (let i = 0; i < 5; i++) {
			await vi.advanceTimersByTimeAsync(15_000);
			calls[0]!.send(': alive\n\n');
			await settle();
		}
		expect(states).toEqual(['connecting', 'open']);
		await vi.advanceTimersByTimeAsync(20_001);
		expect(states.at(-1)).toBe('lost');
		stream.close();
	});

	it('does not knock again when it is refused', async () => {
		status = 401;
		const { states } = open();
		await settle();
		await vi.advanceTimersByTimeAsync(60_000);
		expect(states).toEqual(['connecting', 'refused']);
		expect(calls).toHaveLength(1);
	});

	it('ends when it is closed', async () => {
		const { states, stream } = open();
		await settle();
		stream.close();
		await vi.advanceTimersByTimeAsync(60_000);
		expect(calls[0]!.aborted()).toBe(true);
		expect(calls).toHaveLength(1);
		expect(states).toEqual(['connecting', 'open']);
	});
});
