// Colours of terminals, as programs print them. What moves a cursor is left out.

export interface Span {
	text: string;
	/** Class names, such as `fg1 bold`; empty for plain text. */
	classes: string;
	/** Colours that have no class: those of 256 and of 16 million. */
	color?: string;
	ground?: string;
}

interface Pen {
	fg?: number;
	bg?: number;
	color?: string;
	ground?: string;
	bold?: boolean;
	dim?: boolean;
	italic?: boolean;
	underline?: boolean;
	strike?: boolean;
	inverse?: boolean;
}

// CSI sequences, OSC sequences (titles, links), charset switches, and other control characters but tabs.
// eslint-disable-next-line no-control-regex
const escapes = /\u001b\[([0-?]*)[ -/]*([@-~])|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|\u001b[()][0-9A-Za-z]|\u001b[@-_]|[\u0000-\u0008\u000b-\u001f\u007f]/g;

/** plain is a text without its escapes. */
export const plain = (text: string): string => (hasEscapes(text) ? text.replace(escapes, '') : text);

/** Most lines have none, and are told so fast. */
export function hasEscapes(text: string): boolean {
	for (let i = 0; i < text.length; i++) {
		const c = text.charCodeAt(i);
		if (c < 32 && c !== 9) return true;
		if (c === 127) return true;
	}
	return false;
}

/** spans cuts a text where its looks change. */
export function spans(text: string): Span[] {
	if (!hasEscapes(text)) return [{ text, classes: '' }];
	const out: Span[] = [];
	let pen: Pen = {};
	let from = 0;
	const put = (piece: string) => {
		if (!piece) return;
		const next = { text: piece, ...looks(pen) };
		const last = out[out.length - 1];
		if (last && last.classes === next.classes && last.color === next.color && last.ground === next.ground) last.text += piece;
		else out.push(next);
	};
	for (const m of text.matchAll(escapes)) {
		put(text.slice(from, m.index));
		from = m.index + m[0].length;
		if (m[2] === 'm') pen = sgr(pen, m[1] ?? '');
	}
	put(text.slice(from));
	return out.length > 0 ? out : [{ text: '', classes: '' }];
}

function looks(pen: Pen): Omit<Span, 'text'> {
	const classes: string[] = [];
	let { fg, bg, color, ground } = pen;
	if (pen.inverse) {
		[fg, bg, color, ground] = [bg, fg, ground, color];
		if (fg === undefined && !color) classes.push('inverse');
	}
	if (fg !== undefined) classes.push(`fg${fg}`);
	if (bg !== undefined) classes.push(`bg${bg}`);
	for (const name of ['bold', 'dim', 'italic', 'underline', 'strike'] as const) if (pen[name]) classes.push(name);
	return { classes: classes.join(' '), ...(color && { color }), ...(ground && { ground }) };
}

function sgr(old: Pen, params: string): Pen {
	const pen = { ...old };
	const codes = params.split(/[;:]/).map((p) => (p === '' ? 0 : Number(p)));
	for (let i = 0; i < codes.length; i++) {
		const c = codes[i] as number;
		if (c === 0) for (const key of Object.keys(pen) as (keyof Pen)[]) delete pen[key];
		else if (c === 1) pen.bold = true;
		else if (c === 2) pen.dim = true;
		else if (c === 3) pen.italic = true;
		else if (c === 4) pen.underline = true;
		else if (c === 7) pen.inverse = true;
		else if (c === 9) pen.strike = true;
		else if (c === 22) pen.bold = pen.dim = false;
		else if (c === 23) pen.italic = false;
		else if (c === 24) pen.underline = false;
		else if (c === 27) pen.inverse = false;
		else if (c === 29) pen.strike = false;
		else if ((c >= 30 && c <= 37) || (c >= 90 && c <= 97)) {
			pen.fg = c < 90 ? c - 30 : c - 90 + 8;
			pen.color = undefined;
		} else if ((c >= 40 && c <= 47) || (c >= 100 && c <= 107)) {
			pen.bg = c < 100 ? c - 40 : c - 100 + 8;
			pen.ground = undefined;
		} else if (c === 39) pen.fg = pen.color = undefined;
		else if (c === 49) pen.bg = pen.ground = undefined;
		else if (c === 38 || c === 48) {
			const [index, rgb, used] = wide(codes, i + 1);
			if (c === 38) [pen.fg, pen.color] = [index, rgb];
			else [pen.bg, pen.ground] = [index, rgb];
			i += used;
		}
	}
	return pen;
}

/** The colour of 38;5;N or 38;2;R;G;B, and how many numbers it took. */
function wide(codes: number[], at: number): [number | undefined, string | undefined, number] {
	if (codes[at] === 2) {
		const [r = 0, g = 0, b = 0] = codes.slice(at + 1, at + 4).map((v) => Math.min(255, v));
		return [undefined, `rgb(${r} ${g} ${b})`, 4];
	}
	if (codes[at] !== 5) return [undefined, undefined, 0];
	const n = codes[at + 1] ?? 0;
	if (n < 16) return [n, undefined, 2];
	if (n >= 232) {
		const v = 8 + (n - 232) * 10;
		return [undefined, `rgb(${v} ${v} ${v})`, 2];
	}
	const level = (v: number) => (v === 0 ? 0 : 55 + v * 40);
	const cube = n - 16;
	return [undefined, `rgb(${level(Math.floor(cube / 36))} ${level(Math.floor(cube / 6) % 6)} ${level(cube % 6)})`, 2];
}
