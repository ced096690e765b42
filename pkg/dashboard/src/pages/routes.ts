// The table of pages. A row makes a page, its entry in the navigation, and its command in the palette.

import type { Component } from 'svelte';
import type { IconName } from '$components/icons';
import { live } from '$lib/live/live.svelte';
import Overview from './overview/Overview.svelte';

/** A page takes `params`, of its path, or nothing. */
export type PageComponent = Component<any>;

export interface PageRow {
	/** Such as /services/:name; a parameter becomes a field of `params`. */
	path: string;
	title: string;
	/** Pages with an icon are in the navigation. */
	icon?: IconName;
	/** On a phone these are in the bar at the bottom, the others behind More. */
	primary?: boolean;
	/** In the navigation only when this holds. */
	when?: () => boolean;
	/** The path of the page that is lit in the navigation instead. */
	under?: string;
	component?: PageComponent;
	load?: () => Promise<{ default: unknown }>;
}

/** Without an agent, those of these pages that are of use then are reached from others. */
const withAgent = () => live.agents.some((a) => a.ready);
const service = () => import('./service/Service.svelte');

export const pages: PageRow[] = [
	// The overview comes with the first load, all others when somebody goes there.
	{ path: '/', title: 'Overview', icon: 'overview', primary: true, component: Overview },
	{ path: '/services/:name', title: 'Service', under: '/', load: service },
	{ path: '/services/:name/:tab', title: 'Service', under: '/', load: service },
	{ path: '/new', title: 'New service', under: '/', load: () => import('./new/New.svelte') },
	{ path: '/logs', title: 'Logs', icon: 'logs', primary: true, load: () => import('./logs/Logs.svelte') },
	{ path: '/charts', title: 'Metrics', icon: 'metrics', load: () => import('./metrics/Metrics.svelte') },
	{ path: '/cron', title: 'Cron', icon: 'cron', primary: true, load: () => import('./cron/Cron.svelte') },
	{ path: '/cron/:name', title: 'Cron job', under: '/cron', load: () => import('./cron/Job.svelte') },
	{ path: '/new/cron', title: 'New cron job', under: '/cron', load: () => import('./cron/New.svelte') },
	{ path: '/manifests', title: 'Manifests', icon: 'manifests', load: () => import('./manifests/Manifests.svelte') },
	{ path: '/caddy', title: 'Caddy', icon: 'caddy', load: () => import('./caddy/Caddy.svelte') },
	{ path: '/jobs', title: 'Jobs', icon: 'jobs', load: () => import('./jobs/Jobs.svelte') },
	{ path: '/jobs/:id', title: 'Job', under: '/jobs', load: () => import('./jobs/Jobs.svelte') },
	{ path: '/chat', title: 'Chat', icon: 'chat', when: withAgent, load: () => import('./chat/Chat.svelte') },
	{ path: '/fixes', title: 'Fixes', icon: 'wand', when: withAgent, load: () => import('./fixes/Fixes.svelte') },
	{ path: '/onboard', title: 'Onboard', icon: 'folder', when: withAgent, load: () => import('./onboard/Onboard.svelte') },
	{ path: '/events', title: 'Events', icon: 'events', primary: true, load: () => import('./events/Events.svelte') },
	{ path: '/settings', title: 'Settings', icon: 'settings', load: () => import('./settings/Settings.svelte') },
];
