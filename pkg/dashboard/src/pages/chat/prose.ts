// What an assistant writes, as pieces to show: no HTML is made of it, so that nothing in it can be more than text. Pure.

export type Piece = { kind: 'code'; text: string; language: string } | { kind: 'text'; spans: Span[]; list?: boolean; head?: boolean };
export interface Span {
	kind: 'plain' | 'code' | 'strong';
	text: string;
}

export function spans(text: string): Span[] {
	const out: Span[] = [];
	let from = 0;
	for (const m of text.matchAll(/`([^`\n]+)`|\*\*([^*\n]+)\*\*/g)) {
		if (m.index > from) out.push({ kind: 'plain', text: text.slice(from, m.index) });
		out.push(m[1] !== undefined ? { kind: 'code', text: m[1] } : { kind: 'strong', text: m[2] as string });
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
			for (const line of block.trim() === '' ? [] : block.split(/\n(?=\s*(?:[-*]|\d+\.)\s)|\n(?=#)/)) {
				const list = /^\s*(?:[-*]|\d+\.)\s/.test(line);
				const head = /^#{1,6}\s/.test(line);
				const body = line.trim().replace(/^(?:[-*]\s+|#{1,6}\s+)/, '');
				out.push({ kind: 'text', spans: spans(body), ...(list ? { list } : {}), ...(head ? { head } : {}) });
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
