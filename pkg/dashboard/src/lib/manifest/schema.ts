// Where in a manifest the cursor is, and what the schema says of that place. Pure.

export interface Schema {
	type?: string;
	const?: unknown;
	enum?: unknown[];
	default?: unknown;
	description?: string;
	examples?: unknown[];
	properties?: Record<string, Schema>;
	additionalProperties?: boolean | Schema;
	items?: Schema;
	anyOf?: Schema[];
	required?: string[];
}

export type Schemas = Partial<Record<string, Schema>>;

/** An item of a list in a path. */
export const ITEM = '[]';

export interface Place {
	kind: string | undefined;
	/** The mapping that the cursor is in, such as ['spec', 'probes']. */
	path: string[];
	/** At a key, or at the value of the key that is the last of the path. */
	at: 'key' | 'value';
	/** What is written so far, and where it begins in its line. */
	word: string;
	from: number;
	/** Keys that the mapping has already. */
	siblings: string[];
}

const keyed = /^(\s*(?:- +)*)(["']?)([\w$./-]+)\2\s*:(?=\s|$)(.*)$/;

interface Row {
	/** How far the key stands to the right, its dashes counted in. */
	indent: number;
	/** How far the first dash stands, when there is one. */
	dash: number | undefined;
	key: string | undefined;
	rest: string;
}

function row(line: string): Row | undefined {
	const text = line.replace(/\s+$/, '');
	if (!text.trim() || text.trim().startsWith('#')) return undefined;
	const lead = /^(\s*)((?:- +)*)/.exec(text) as RegExpExecArray;
	const dash = lead[2] ? (lead[1] as string).length : undefined;
	const m = keyed.exec(text);
	return { indent: m ? (m[1] as string).length : (lead[0] as string).length, dash, key: m?.[3], rest: m?.[4] ?? '' };
}

/** The lines of the document that a line belongs to. */
function documentOf(lines: string[], line: number): [number, number] {
	let from = line;
	while (from > 0 && !/^---(\s|$)/.test(lines[from] as string)) from--;
	let to = line + 1;
	while (to < lines.length && !/^---(\s|$)/.test(lines[to] as string)) to++;
	return [from, to];
}

/** place says where a cursor is; undefined where nothing can be said, as in a comment or within braces. */
export function place(text: string, line: number, column: number): Place | undefined {
	const lines = text.split('\n');
	const current = (lines[line] ?? '').slice(0, column);
	if (/(^|\s)#/.test(current)) return undefined;
	const [from, to] = documentOf(lines, line);
	const kind = lines.slice(from, to).map((l) => /^kind:\s*["']?(\w+)/.exec(l)?.[1]).find(Boolean);

	const value = keyed.exec(current);
	if (value) {
		const written = (value[4] as string).replace(/^\s+/, '');
		if (/[{["'&*|>]/.test(written)) return undefined;
		const indent = (value[1] as string).length;
		return { kind, path: [...above(lines, from, line, indent, /-/.test(value[1] as string) ? (value[1] as string).indexOf('-') : undefined), value[3] as string], at: 'value', word: written, from: column - written.length, siblings: [] };
	}
	const m = /^(\s*(?:- +)*)([\w$./-]*)$/.exec(current);
	if (!m) return undefined;
	const indent = (m[1] as string).length;
	const dash = (m[1] as string).includes('-') ? (m[1] as string).indexOf('-') : undefined;
	return { kind, path: above(lines, from, line, indent, dash), at: 'key', word: m[2] as string, from: indent, siblings: siblings(lines, from, to, line, indent) };
}

/** The keys on the way down to a line. */
function above(lines: string[], from: number, line: number, indent: number, dash: number | undefined): string[] {
	const path: string[] = [];
	let limit = indent;
	if (dash !== undefined) {
		path.unshift(ITEM);
		limit = dash;
	}
	// A list may stand as far to the left as the key that it belongs to.
	let equal = dash !== undefined;
	for (let i = line - 1; i >= from; i--) {
		const r = row(lines[i] as string);
		if (!r || /^---/.test(lines[i] as string)) continue;
		if (r.dash !== undefined && r.dash < limit && r.indent <= limit && !equal) {
			// A key of the same item, or the item that this is in.
			if (r.indent === limit || r.key === undefined || r.rest.trim() === '') {
				if (r.indent < limit && r.key) path.unshift(r.key);
				path.unshift(ITEM);
				limit = r.dash;
				equal = true;
				continue;
			}
		}
		if (r.key === undefined || r.dash !== undefined) continue;
		if (r.indent < limit || (equal && r.indent === limit)) {
			path.unshift(r.key);
			limit = r.indent;
			equal = false;
		}
		if (limit === 0 && !equal) break;
	}
	return path;
}

/** The other keys of the mapping that a line is in. */
function siblings(lines: string[], from: number, to: number, line: number, indent: number): string[] {
	const found: string[] = [];
	const take = (i: number): boolean => {
		const r = row(lines[i] as string);
		if (!r || /^---/.test(lines[i] as string)) return true;
		if (r.indent < indent) return false;
		if (r.indent === indent && r.key) found.push(r.key);
		return !(r.dash !== undefined && r.indent === indent);
	};
	for (let i = line - 1; i >= from; i--) if (!take(i)) break;
	for (let i = line + 1; i < to; i++) {
		const r = row(lines[i] as string);
		if (r?.dash !== undefined && r.indent === indent) break;
		if (!take(i)) break;
	}
	return found;
}

/** What the schema says of a path; undefined when it knows nothing. */
export function lookup(schema: Schema | undefined, path: string[]): Schema | undefined {
	if (!schema) return undefined;
	if (path.length === 0) return schema;
	const [first, ...rest] = path as [string, ...string[]];
	if (first === ITEM && schema.items) return lookup(schema.items, rest);
	if (first !== ITEM && schema.properties?.[first]) return lookup(schema.properties[first], rest);
	if (first !== ITEM && typeof schema.additionalProperties === 'object') return lookup(schema.additionalProperties, rest);
	for (const one of schema.anyOf ?? []) {
		const found = lookup(one, path);
		if (found) return found;
	}
	return undefined;
}

export interface Choice {
	label: string;
	detail: string;
	info: string;
	/** What is written. */
	apply: string;
}

const typeOf = (s: Schema): string => s.type ?? (s.anyOf?.map(typeOf).filter((t, i, all) => t && all.indexOf(t) === i).join(' or ') || (s.const !== undefined ? String(s.const) : ''));

export function about(s: Schema): string {
	const parts = [s.description ?? ''];
	if (s.enum) parts.push(`One of ${s.enum.join(', ')}.`);
	if (s.default !== undefined) parts.push(`Default: ${String(s.default)}.`);
	if (s.examples?.length) parts.push(`Such as ${s.examples.join(', ')}.`);
	return parts.filter(Boolean).join(' ');
}

/** What a key opens: a mapping, a list, or a value on its line. */
function opens(s: Schema, indent: number): string {
	const pad = ' '.repeat(indent + 2);
	if (s.type === 'object' || s.properties) return `:\n${pad}`;
	if (s.type === 'array' && s.items?.type === 'object') return `:\n${pad}- `;
	return ': ';
}

/** choices are what can stand at a place. */
export function choices(schemas: Schemas, p: Place): Choice[] {
	const kind = p.kind && schemas[p.kind] ? p.kind : undefined;
	if (!kind) {
		if (p.path[0] === 'kind' && p.at === 'value') return Object.keys(schemas).map((k) => ({ label: k, detail: '', info: '', apply: k }));
		if (p.path.length > 0 && p.path[0] !== 'apiVersion') return [];
	}
	const schema = lookup(schemas[kind ?? (Object.keys(schemas)[0] as string)], p.path);
	if (!schema) return [];
	if (p.at === 'value') return values(schema);
	const mapping = schema.properties ? schema : schema.anyOf?.find((s) => s.properties);
	const needed = new Set(mapping?.required ?? []);
	return Object.entries(mapping?.properties ?? {})
		.filter(([name]) => name !== '$schema' && !p.siblings.includes(name))
		.map(([name, s]) => ({ label: name, detail: needed.has(name) ? `${typeOf(s)}, required` : typeOf(s), info: about(s), apply: name + opens(s, p.from) }));
}

function values(s: Schema): Choice[] {
	const all: unknown[] = [];
	const take = (one: Schema) => {
		if (one.const !== undefined) all.push(one.const);
		all.push(...(one.enum ?? []));
		if (one === s && one.type === 'boolean') all.push(true, false);
		all.push(...(one.examples ?? []));
		one.anyOf?.forEach(take);
	};
	take(s);
	return all
		.map(String)
		.filter((v, i, list) => list.indexOf(v) === i)
		.map((v) => ({ label: v, detail: s.default !== undefined && String(s.default) === v ? 'default' : '', info: '', apply: v }));
}
