// Figures and times in words. Pure: the present is always handed over.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A length of time in its two greatest units: 3d 4h, 12m 5s, 45s. */
export function span(ms: number): string {
	const s = Math.max(0, Math.round(ms / SECOND));
	if (s < 60) return `${s}s`;
	const m = Math.floor(s / 60);
	if (m < 60) return m < 10 && s % 60 ? `${m}m ${s % 60}s` : `${m}m`;
	const h = Math.floor(m / 60);
	if (h < 24) return m % 60 ? `${h}h ${m % 60}m` : `${h}h`;
	const d = Math.floor(h / 24);
	if (d < 30) return h % 24 && d < 10 ? `${d}d ${h % 24}h` : `${d}d`;
	if (d < 365) return `${Math.floor(d / 30)}mo`;
	return `${Math.floor(d / 365)}y`;
}

/** A duration of a run, finer than span: 0.42s, 12.3s, 4m 10s. */
export function took(seconds: number): string {
	if (seconds < 1) return `${seconds.toFixed(2)}s`;
	if (seconds < 60) return `${seconds.toFixed(1)}s`;
	return span(seconds * SECOND);
}

/** How far a time is from now, in words. */
export function relative(time: Date, now: number): string {
	const ms = time.getTime() - now;
	if (Math.abs(ms) < 5 * SECOND) return 'now';
	return ms < 0 ? `${span(-ms)} ago` : `in ${span(ms)}`;
}

/** How long the words of `relative` stay true; when to look again. */
export function staleAfter(time: Date, now: number): number {
	const ms = Math.abs(time.getTime() - now);
	if (ms < 10 * MINUTE) return SECOND;
	if (ms < DAY) return 30 * SECOND;
	return 10 * MINUTE;
}

/** The exact time in the viewer's zone, with the zone. */
export function exact(time: Date): string {
	return new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' }).format(time);
}

/** The time of day, and the date when it is not today's. */
export function clock(time: Date, now: number): string {
	const today = new Date(now).toDateString() === time.toDateString();
	return new Intl.DateTimeFormat(
		undefined,
		today
			? { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false }
			: { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', hour12: false },
	).format(time);
}

export const zone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Memory and disk, from MB of 1,048,576 bytes. */
export function megabytes(mb: number): string {
	if (mb < 0.1 && mb > 0) return '<0.1 MB';
	if (mb < 10) return `${mb.toFixed(1)} MB`;
	if (mb < 1000) return `${Math.round(mb)} MB`;
	const gb = mb / 1024;
	if (gb < 1000) return `${gb.toFixed(gb < 10 ? 2 : 1)} GB`;
	return `${(gb / 1024).toFixed(2)} TB`;
}

export const bytes = (n: number): string => (n < 1024 ? `${n} B` : n < 100 * 1024 ? `${(n / 1024).toFixed(1)} kB` : megabytes(n / 1048576));

/** Percent of one core. */
export function percent(p: number): string {
	if (p > 0 && p < 0.1) return '<0.1%';
	return p < 10 ? `${p.toFixed(1)}%` : `${Math.round(p)}%`;
}

/** 1 restart, 2 restarts. */
export const count = (n: number, one: string, many = `${one}s`): string => `${n.toLocaleString()} ${n === 1 ? one : many}`;

/** A command as one line. */
export const commandLine = (command: string | string[] | undefined): string =>
	Array.isArray(command) ? command.map((w) => (/^[\w@%+=:,./-]+$/.test(w) ? w : `'${w.replaceAll("'", `'\\''`)}'`)).join(' ') : (command ?? '');
