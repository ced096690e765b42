import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Hub, type News } from './hub';

let send: (text: string) => void;
let asked: string[];

beforeEach(() => {
	vi.useFakeTimers();
	asked = [];
	vi.stubGlobal('fetch', (path: string) => {
		asked.push(path);
		if (path === '/api/v1/metrics') return Promise.resolve(new Response('{"services":{},"cronjobs":{}}'));
		const body = new ReadableStream<Uint8Array>({ start: (c) => void (send = (text) => c.enqueue(new TextEncoder().encode(text))) });
		return Promise.resolve(new Response(body));
	});
});
afterEach(() => {
	vi.useRealTimers();
	vi.unstubAllGlobals();
});

const frame = (id: number, event: string, data: unknown) => `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
const key = { kind: 'Service', name: 'web' };
const tick = (ms = 100) => vi.advanceTimersByTimeAsync(ms);

it('tells all tabs the same by one connection, and a late one what it missed', async () => {
	const hub = new Hub();
	const first: News[] = [];
	const second: News[] = [];
	hub.join((n) => first.push(n));
	await tick();
	send(frame(1, 'snapshot', { seq: 1, objects: [{ key, revision: 'r1', status: { phase: 'Starting' } }] }));
	await tick();
	send(frame(2, 'status', { seq: 2, kind: 'status', key, status: { phase: 'Running' } }));
	send(frame(3, 'event', { seq: 3, kind: 'event', key, event: { id: 3, reason: 'Ready' } }));
	await tick();
	expect(first.filter((n) => n.type === 'changes')).toHaveLength(1);

	hub.join((n) => second.push(n));
	const all = second.find((n) => n.type === 'all');
	expect(all).toMatchObject({ objects: [{ key, revision: 'r1', status: { phase: 'Running' } }], events: [{ id: 3 }] });
	expect(asked.filter((p) => p.includes('stream'))).toHaveLength(1);

	send(frame(4, 'object', { seq: 4, kind: 'object', key, deleted: true }));
	await tick();
	expect(second.at(-1)).toMatchObject({ type: 'changes', changes: [{ deleted: true }] });
	hub.close();
});

it('asks for figures only while somebody looks', async () => {
	const hub = new Hub();
	const tab = () => undefined;
	hub.join(tab);
	await tick();
	const figures = () => asked.filter((p) => p === '/api/v1/metrics').length;
	expect(figures()).toBe(1);
	await tick(5_000);
	expect(figures()).toBe(2);
	hub.order(tab, { type: 'visible', visible: false });
	await tick(60_000);
	const rest = figures();
	await tick(60_000);
	expect(figures()).toBe(rest);
	hub.order(tab, { type: 'visible', visible: true });
	await tick();
	expect(figures()).toBe(rest + 1);
	hub.close();
});
