// The lines of a log view: those that are kept, which of them show, and where each stands. Pure; heights are counted and not
// measured, which a monospaced font allows.

export type Level = 'debug' | 'info' | 'warning' | 'error';

export interface Line {
	/** Grows with each line that came in below, and falls with each that came in above. */
	id: number;
	service: string;
	stream: 'stdout' | 'stderr';
	time: number;
	text: string;
	level: Level;
	/** The same for all lines of an entry, such as a stack trace. Empty where nobody knows. */
	entry: string;
	/** 0 for the first line of an entry. */
	part: number;
}

export type Fresh = Omit<Line, 'id' | 'part'>;

/** Entries of more lines than this are folded: the first and the last are shown. */
export const FOLD = 4;
/** A line takes at most so many rows, however long it is. */
export const ROWS = 40;

export interface Fold {
	/** How many lines are hidden behind the first. */
	hidden: number;
	open: boolean;
}

export class LogModel {
	lines: Line[] = [];
	/** tops[i] is where lines[i] begins, tops[lines.length] where all ends. Only differences mean something. */
	tops: number[] = [0];
	/** How many lines an entry has so far. */
	private sizes = new Map<string, number>();
	/** Entries that somebody has opened. */
	private opened = new Set<string>();
	private next = 0;
	private before = -1;
	private columns = 0;
	private height = 20;
	private readonly capacity: number;

	constructor(capacity: number) {
		this.capacity = capacity;
	}

	clear(): void {
		this.lines = [];
		this.tops = [0];
		this.sizes.clear();
		this.opened.clear();
	}

	get total(): number {
		return (this.tops[this.lines.length] as number) - (this.tops[0] as number);
	}

	/** Where a line begins, from the top of the list. */
	top(index: number): number {
		return (this.tops[index] as number) - (this.tops[0] as number);
	}

	/** columns is how many characters fit into a row; 0 does not break lines. */
	layout(columns: number, height: number): boolean {
		if (columns === this.columns && height === this.height) return false;
		this.columns = columns;
		this.height = height;
		this.recount(0);
		return true;
	}

	append(fresh: Fresh[]): void {
		for (const f of fresh) {
			const last = this.lines[this.lines.length - 1];
			const part = f.entry && last?.entry === f.entry ? last.part + 1 : 0;
			const line: Line = { ...f, id: this.next++, part };
			this.lines.push(line);
			if (f.entry) this.sizes.set(f.entry, part + 1);
			const at = this.lines.length - 1;
			// An entry that grows may begin to be folded, or its last line that was shown is not the last any more.
			if (part > 0) this.recount(part + 1 > FOLD ? at - part : at);
			else this.tops.push((this.tops[at] as number) + this.rows(at) * this.height);
		}
	}

	/** Adds older lines above. Returns by how much everything moves down. */
	prepend(fresh: Fresh[]): number {
		const lines: Line[] = [];
		for (const f of fresh) {
			const last = lines[lines.length - 1];
			const part = f.entry && last?.entry === f.entry ? last.part + 1 : 0;
			lines.push({ ...f, id: 0, part });
			if (f.entry) this.sizes.set(f.entry, part + 1);
		}
		for (let i = lines.length - 1; i >= 0; i--) (lines[i] as Line).id = this.before--;
		const was = this.total;
		this.lines = [...lines, ...this.lines];
		this.recount(0);
		return this.total - was;
	}

	/** Drops what is over the capacity, the oldest first. Returns by how much everything moves up. */
	trim(capacity = this.capacity): number {
		const extra = this.lines.length - capacity;
		// In large steps: each moves all that is kept.
		if (extra < capacity / 10) return 0;
		const moved = (this.tops[extra] as number) - (this.tops[0] as number);
		for (let i = 0; i < extra; i++) {
			const { entry } = this.lines[i] as Line;
			if (entry && this.lines[extra]?.entry !== entry) {
				this.sizes.delete(entry);
				this.opened.delete(entry);
			}
		}
		this.lines = this.lines.slice(extra);
		this.tops = this.tops.slice(extra);
		return moved;
	}

	/** The line that covers a height. */
	at(y: number): number {
		const want = y + (this.tops[0] as number);
		let low = 0;
		let high = this.lines.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if ((this.tops[middle + 1] as number) <= want) low = middle + 1;
			else high = middle;
		}
		return Math.min(low, Math.max(0, this.lines.length - 1));
	}

	/** The lines that show between two heights, the hidden ones left out. */
	window(from: number, to: number): number[] {
		const out: number[] = [];
		const until = to + (this.tops[0] as number);
		for (let i = this.at(from); i < this.lines.length && (this.tops[i] as number) < until; i++) {
			if ((this.tops[i + 1] as number) > (this.tops[i] as number)) out.push(i);
		}
		return out;
	}

	/** What is folded behind a line; undefined where nothing can be. */
	fold(index: number): Fold | undefined {
		const line = this.lines[index] as Line;
		const size = this.sizes.get(line.entry) ?? 1;
		if (line.part !== 0 || size <= FOLD) return undefined;
		return { hidden: size - 2, open: this.opened.has(line.entry) };
	}

	toggle(entry: string): void {
		if (this.opened.has(entry)) this.opened.delete(entry);
		else this.opened.add(entry);
		this.recount(0);
	}

	find(entry: string): number {
		return this.lines.findIndex((l) => l.entry === entry);
	}

	private hidden(index: number): boolean {
		const line = this.lines[index] as Line;
		if (line.part === 0 || !line.entry || this.opened.has(line.entry)) return false;
		const size = this.sizes.get(line.entry) ?? 1;
		return size > FOLD && line.part < size - 1;
	}

	private rows(index: number): number {
		if (this.hidden(index)) return 0;
		if (this.columns <= 0) return 1;
		return Math.min(ROWS, Math.max(1, Math.ceil(width((this.lines[index] as Line).text) / this.columns)));
	}

	private recount(from: number): void {
		if (from === 0) this.tops = [0];
		else this.tops.length = from + 1;
		for (let i = from; i < this.lines.length; i++) this.tops.push((this.tops[i] as number) + this.rows(i) * this.height);
	}
}

/** How many columns a text takes: escapes none, wide characters two, tabs up to the next stop. */
export function width(text: string): number {
	let w = 0;
	for (let i = 0; i < text.length; i++) {
		const c = text.charCodeAt(i);
		if (c === 27) {
			const end = /^\u001b\[[0-?]*[ -/]*[@-~]/.exec(text.slice(i, i + 40)); // eslint-disable-line no-control-regex
			if (end) i += end[0].length - 1;
		} else if (c === 9) w += 8 - (w % 8);
		else if (c >= 0x1100 && c < 0xd800) w += 2;
		else if (c >= 32 && (c < 0xdc00 || c > 0xdfff)) w += c >= 0xd800 && c <= 0xdbff ? 2 : 1;
	}
	return w;
}

/** An entry of the history as lines. */
export function split(e: { service: string; stream: string; time: string; text: string; level: string; cursor: string }): Fresh[] {
	return e.text.split('\n').map((text) => ({
		service: e.service,
		stream: e.stream as Line['stream'],
		time: Date.parse(e.time),
		text,
		level: e.level as Level,
		entry: e.cursor,
	}));
}

/** The supervisor's own lines say time and level in themselves. */
export function own(text: string): Fresh {
	const json = text.startsWith('{');
	const time = (json ? /"time":"([^"]+)"/ : /^time=(\S+)/).exec(text)?.[1];
	const level = (json ? /"level":"([A-Z]+)"/ : /\blevel=([A-Z]+)/).exec(text)?.[1];
	return {
		service: 'supervisor',
		stream: 'stderr',
		time: time ? Date.parse(time) : NaN,
		text: json ? text : text.replace(/^time=\S+ level=[A-Z]+ /, ''),
		level: level === 'ERROR' ? 'error' : level === 'WARN' ? 'warning' : level === 'DEBUG' ? 'debug' : 'info',
		entry: '',
	};
}

const two = (n: number) => (n < 10 ? `0${n}` : `${n}`);

/** The time of day with milliseconds, made fast: many lines a second want one. */
export function stamp(ms: number, long: boolean): string {
	if (Number.isNaN(ms)) return '';
	const d = new Date(ms);
	const short = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
	return long ? `${short}.${String(d.getMilliseconds()).padStart(3, '0')}` : short;
}

/** Eight colours in turn for names: the same as long as there are the same names. */
export function hues(names: Iterable<string>): Map<string, number> {
	return new Map([...names].sort((a, b) => a.localeCompare(b)).map((n, i) => [n, i % 8]));
}
