// Where things are. One place that knows the addresses of pages.

import type { Expose, Key, Service } from './api/types';

const enc = encodeURIComponent;

export const serviceHref = (name: string, tab = ''): string => `/services/${enc(name)}${tab ? `/${tab}` : ''}`;
export const cronHref = (name: string): string => `/cron/${enc(name)}`;
export const manifestHref = (file: string, line?: number): string => `/manifests?file=${enc(file)}${line ? `&line=${line}` : ''}`;
export const objectHref = (key: Key): string => (key.kind === 'CronJob' ? cronHref(key.name) : serviceHref(key.name));

/** Where a service is reached: through Caddy, or at its port. */
export function endpoints(service: Service, host: string | undefined): { url: string; text: string }[] {
	const list: { url: string; text: string }[] = [];
	const { url, port } = service.status ?? {};
	if (url) list.push({ url, text: url.replace(/^https?:\/\//, '').replace(/\/$/, '') });
	if (port) {
		const local = `http://${host || location.hostname}:${port}`;
		if (local !== url) list.push({ url: local, text: `:${port}` });
	}
	return list;
}

/** Whether a service is to be reached through Caddy. */
export const isExposed = (e: Expose | undefined) => e !== undefined && e.enabled !== false && Boolean(e.subdomain || e.path || e.host);
