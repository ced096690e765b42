// What an assistant writes, as pieces to show: no HTML is made of it, so that nothing in it can be more than text. Pure.

export type Piece = { kind: 'code'; text: string; language: string } | { kind: 'text'; spans: Span[]; mark?: string; head?: boolean };
export interface Span {
	kind: 'plain' | 'code' | 'strong' | 'em';
	text: string;
}

export function spans(text: string): Span[] {
	const out: Span[] = [];
	let from = 0;
	for (const m of text.matchAll(/`([^`\n]+)`|\*\*([^*\n]+)\*\*|(?<![\w*])\*(?![\s*])([^*\n]*[^*\s])\*(?![\w*])/g)) {
		if (m.index > from) out.push({ kind: 'plain', text: text.slice(from, m.index) });
		if (m[1] !== undefined) out.push({ kind: 'code', text: m[1] });
		else if (m[2] !== undefined) out.push({ kind: 'strong', text: m[2] });
		else out.push({ kind: 'em', text: m[3] as string });
		from = m.index + m[0].length;
	}
	if (from < text.length) out.push({ kind: 'plain', text: text.slice(from) });
	return out;
}

export function pieces(text: string): Piece[] {
	const out: Piece[] = [];
	const fence = /^```(\S*)[^\n]*\n([\s\S]*?)(?:\n```[ \t]*$|$(?![\s\S]))/gm;
	let from = 0;
	const prose = (part: string) => {
		for (const block of part.split(/\n{2,}/)) {
			for (const line of block.trim() === '' ? [] : block.split(/(?<=^#{1,6}\s[^\n]*)\n|\n(?=\s*(?:[-*]|\d+\.)\s)|\n(?=#)/m)) {
				const item = /^\s*(?:[-*]|(\d+\.))\s+/.exec(line);
				const head = /^#{1,6}\s/.test(line);
				const body = line.slice(item?.[0].length).trim().replace(/^#{1,6}\s+/, '');
				out.push({ kind: 'text', spans: spans(body), ...(item ? { mark: item[1] ?? '•' } : {}), ...(head ? { head } : {}) });
			}
		}
	};
	for (const m of text.matchAll(fence)) {
		prose(text.slice(from, m.index));
		out.push({ kind: 'code', text: m[2] as string, language: m[1] as string });
		from = m.index + m[0].length;
	}
	prose(text.slice(from));
	return out;
}
