// What happened to a service, as marks on the time axis of its charts. Pure.

import type { Event } from '../api/types';

export type MarkKind = 'crash' | 'deploy' | 'stop';

export interface Mark {
	/** Unix seconds. */
	at: number;
	kind: MarkKind;
	text: string;
	/** How many are drawn as one, as they are too near to each other. */
	count: number;
}

function kindOf(e: Event): MarkKind | undefined {
	if (e.reason === 'Exited' || e.reason === 'OOMKilled') return e.type === 'Warning' ? 'crash' : 'stop';
	if (e.reason === 'ManifestChanged' || e.reason === 'RolloutStarted') return 'deploy';
	if (e.reason === 'RolloutFailed') return 'crash';
	return undefined;
}

/** marks are the events of a time that mean something for charts, near ones joined. gap is in seconds. */
export function marks(events: Event[], from: number, to: number, gap: number): Mark[] {
	const out: Mark[] = [];
	const sorted = [...events].sort((a, b) => a.time.localeCompare(b.time));
	for (const e of sorted) {
		const kind = kindOf(e);
		const at = Date.parse(e.time) / 1000;
		if (!kind || at < from || at > to) continue;
		const near = out.findLast((m) => m.kind === kind);
		if (near && at - near.at < gap) {
			near.count++;
			near.text = e.message;
		} else out.push({ at, kind, text: e.message, count: 1 });
	}
	return out;
}

/** A size such as 512Mi, 2G or 1048576, in MB of 1,048,576 bytes; undefined when it is none. */
export function sizeInMB(size: string | undefined): number | undefined {
	const m = /^\s*(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?)B?\s*$/.exec(size ?? '');
	if (!m) return undefined;
	const power = ['', 'K', 'M', 'G', 'T'].indexOf((m[2] ?? '').toUpperCase());
	return (Number(m[1]) * (m[3] || power === 0 ? 1024 : 1000) ** power) / 1048576;
}
