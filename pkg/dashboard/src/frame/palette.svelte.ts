// The command palette: everything that can be gone to or done, by its name. Pages add commands of their own.

import type { IconName } from '$components/icons';

export interface Command {
	id: string;
	label: string;
	/** What kind of thing it is, shown beside it. */
	group: string;
	icon: IconName;
	/** More words that find it. */
	words?: string;
	run: () => unknown;
}

class Palette {
	open = $state(false);
	private sources = $state.raw<(() => Command[])[]>([]);

	show(): void {
		this.open = true;
	}

	/** Adds commands for as long as a page is shown. Returns how to take them away. */
	add(source: () => Command[]): () => void {
		this.sources = [...this.sources, source];
		return () => (this.sources = this.sources.filter((s) => s !== source));
	}

	get extra(): Command[] {
		return this.sources.flatMap((s) => s());
	}
}

export const palette = new Palette();

/** rank says how well a query fits a text: 0 not at all, more is better. All letters must be there, in order. */
export function rank(query: string, text: string): number {
	const q = query.toLowerCase().replace(/\s+/g, '');
	const t = text.toLowerCase();
	if (!q) return 1;
	const whole = t.indexOf(query.toLowerCase().trim());
	if (whole >= 0) return 1000 - whole - t.length / 100 + (whole === 0 || /\W/.test(t[whole - 1] as string) ? 500 : 0);
	let at = -1;
	let score = 100;
	for (const letter of q) {
		const next = t.indexOf(letter, at + 1);
		if (next < 0) return 0;
		const gap = next - at - 1;
		score -= at >= 0 && /\W/.test(t[next - 1] ?? ' ') ? 1 : gap;
		at = next;
	}
	return Math.max(1, score);
}
