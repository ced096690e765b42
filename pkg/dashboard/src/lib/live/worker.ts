/// <reference lib="webworker" />
// The shared worker: one hub for all tabs.
import { Hub, type Order } from './hub';

declare const self: SharedWorkerGlobalScope;

const hub = new Hub();

self.onconnect = (event) => {
	const port = event.ports[0];
	if (!port) return;
	const send = (news: unknown) => port.postMessage(news);
	port.onmessage = (m: MessageEvent<Order>) => hub.order(send, m.data);
	hub.join(send);
};
