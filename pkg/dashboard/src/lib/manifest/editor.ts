// The editor of manifests: CodeMirror in our colours. It lives in a shadow root, where its style sheets are constructed ones,
// which the content security policy lets through. Loaded on demand.

import { acceptCompletion, autocompletion, completionKeymap, startCompletion, type CompletionContext, type CompletionResult } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { yaml } from '@codemirror/lang-yaml';
import { bracketMatching, foldGutter, foldKeymap, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from '@codemirror/language';
import { lintGutter, lintKeymap, setDiagnostics, type Diagnostic } from '@codemirror/lint';
import { MergeView } from '@codemirror/merge';
import { highlightSelectionMatches, searchKeymap } from '@codemirror/search';
import { Compartment, EditorState, type Extension } from '@codemirror/state';
import {
	crosshairCursor,
	drawSelection,
	EditorView,
	highlightActiveLine,
	highlightActiveLineGutter,
	highlightSpecialChars,
	hoverTooltip,
	keymap,
	lineNumbers,
	rectangularSelection,
} from '@codemirror/view';
import { tags as t } from '@lezer/highlight';
import type { ManifestProblem } from '../api/types';
import { about, choices, lookup, place, type Schemas } from './schema';

const look = EditorView.theme({
	'&': { height: '100%', color: 'var(--text)', backgroundColor: 'var(--surface)', fontSize: 'var(--editor-size, 13px)' },
	'&.cm-focused': { outline: 'none' },
	'.cm-scroller': { fontFamily: 'var(--mono)', fontFeatureSettings: "'liga' 0, 'calt' 0", lineHeight: '1.6', overscrollBehavior: 'contain' },
	'.cm-content': { padding: '8px 0', caretColor: 'var(--text)' },
	'.cm-gutters': { color: 'var(--faint)', backgroundColor: 'var(--surface)', border: 'none' },
	'.cm-lineNumbers .cm-gutterElement': { padding: '0 6px 0 10px', minWidth: '2.2rem' },
	'.cm-activeLine': { backgroundColor: 'color-mix(in srgb, var(--hover) 70%, transparent)' },
	'.cm-activeLineGutter': { color: 'var(--text)', backgroundColor: 'transparent' },
	'.cm-cursor': { borderLeftColor: 'var(--text)' },
	'&.cm-focused .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'color-mix(in srgb, var(--accent) 24%, transparent) !important' },
	'.cm-selectionMatch': { backgroundColor: 'color-mix(in srgb, var(--warn) 18%, transparent)' },
	'.cm-matchingBracket': { backgroundColor: 'color-mix(in srgb, var(--accent) 20%, transparent) !important' },
	'.cm-foldGutter span': { color: 'var(--faint)' },
	'.cm-tooltip': { color: 'var(--text)', backgroundColor: 'var(--surface)', border: '1px solid var(--line-strong)', borderRadius: '6px', boxShadow: 'var(--shadow)', overflow: 'hidden' },
	'.cm-tooltip-autocomplete ul li': { padding: '2px 8px', fontFamily: 'var(--mono)', fontSize: '12.5px' },
	'.cm-tooltip-autocomplete ul li[aria-selected]': { color: 'var(--text)', backgroundColor: 'var(--accent-soft)' },
	'.cm-completionMatchedText': { textDecoration: 'none', fontWeight: '650', color: 'var(--accent)' },
	'.cm-completionDetail': { fontStyle: 'normal', color: 'var(--muted)', fontFamily: 'var(--sans)', fontSize: '11.5px' },
	'.cm-completionInfo': { maxWidth: '22rem', padding: '6px 10px', fontFamily: 'var(--sans)', fontSize: '12.5px', color: 'var(--text)' },
	'.cm-help': { maxWidth: '26rem', padding: '7px 11px', fontFamily: 'var(--sans)', fontSize: '13px', lineHeight: '1.45' },
	'.cm-help b': { fontFamily: 'var(--mono)', fontSize: '12px' },
	'.cm-diagnostic': { padding: '5px 10px', fontFamily: 'var(--sans)', fontSize: '13px', maxWidth: '34rem' },
	'.cm-diagnostic-error': { borderLeft: '3px solid var(--dot-bad)' },
	'.cm-diagnostic-warning': { borderLeft: '3px solid var(--dot-warn)' },
	'.cm-panels': { color: 'var(--text)', backgroundColor: 'var(--ground)', borderColor: 'var(--line)' },
	'.cm-panels input, .cm-panels button': { color: 'var(--text)', background: 'var(--surface)', border: '1px solid var(--line-strong)', borderRadius: '4px' },
	'.cm-button': { backgroundImage: 'none' },
	'.cm-changedLine': { backgroundColor: 'color-mix(in srgb, var(--ok-soft) 70%, transparent) !important' },
	'.cm-merge-a .cm-changedLine, .cm-deletedChunk': { backgroundColor: 'color-mix(in srgb, var(--bad-soft) 80%, transparent) !important' },
	'.cm-merge-a .cm-changedText, .cm-deletedChunk .cm-deletedText': { background: 'color-mix(in srgb, var(--dot-bad) 30%, transparent) !important' },
	'.cm-merge-b .cm-changedText': { background: 'color-mix(in srgb, var(--dot-ok) 30%, transparent) !important' },
});

const colors = HighlightStyle.define([
	{ tag: [t.propertyName, t.definition(t.propertyName)], color: 'var(--busy)' },
	{ tag: [t.string, t.special(t.string)], color: 'var(--ok)' },
	{ tag: [t.number, t.bool, t.null, t.keyword, t.atom], color: 'var(--warn)' },
	{ tag: [t.comment, t.lineComment], color: 'var(--faint)', fontStyle: 'italic' },
	{ tag: [t.meta, t.separator, t.punctuation, t.squareBracket, t.brace], color: 'var(--muted)' },
	{ tag: [t.typeName, t.labelName], color: 'var(--accent)' },
]);

function complete(schemas: () => Schemas) {
	return (context: CompletionContext): CompletionResult | null => {
		const line = context.state.doc.lineAt(context.pos);
		const p = place(context.state.doc.toString(), line.number - 1, context.pos - line.from);
		if (!p || (!context.explicit && p.at === 'key' && p.word === '' && p.path.length > 0 && line.text.trim() !== '' && !line.text.trim().startsWith('-'))) return null;
		if (!context.explicit && p.word === '' && p.at === 'key') return null;
		const options = choices(schemas(), p).map((c) => ({
			label: c.label,
			detail: c.detail,
			info: c.info || undefined,
			type: p.at === 'key' ? 'property' : 'constant',
			apply: (view: EditorView, _c: unknown, from: number, to: number) => {
				// A key whose colon is there already only changes its name.
				const colon = p.at === 'key' && /^\s*:/.test(view.state.sliceDoc(to, to + 3));
				const insert = colon ? c.label : c.apply;
				view.dispatch({ changes: { from, to, insert }, selection: { anchor: from + insert.length } });
				if (p.at === 'key' && insert.endsWith(' ')) startCompletion(view);
			},
		}));
		return options.length > 0 ? { from: line.from + p.from, options, validFor: /^[\w$./-]*$/ } : null;
	};
}

/** What a key means, when the pointer rests on it. */
function help(schemas: () => Schemas): Extension {
	return hoverTooltip((view, pos) => {
		const line = view.state.doc.lineAt(pos);
		const m = /^(\s*(?:- +)*)([\w$./-]+)\s*:/.exec(line.text);
		if (!m) return null;
		const from = line.from + (m[1] as string).length;
		const to = from + (m[2] as string).length;
		if (pos < from || pos > to) return null;
		const p = place(view.state.doc.toString(), line.number - 1, to - line.from);
		const key = m[2] as string;
		const schema = p && lookup(schemas()[p.kind ?? 'Service'], [...p.path, key]);
		if (!schema) return null;
		const text = about(schema);
		if (!text) return null;
		return {
			pos: from,
			end: to,
			above: true,
			create: () => {
				const dom = document.createElement('div');
				dom.className = 'cm-help';
				const name = document.createElement('b');
				name.textContent = [...p.path.filter((s) => s !== '[]'), key].join('.');
				dom.append(name, document.createElement('br'), text);
				return { dom };
			},
		};
	});
}

export interface EditorOptions {
	text: string;
	label: string;
	readOnly: boolean;
	schemas: () => Schemas;
	change: (text: string) => void;
	save: () => void;
}

/** A shadow root in an element, with a container that fills it. */
function shadow(host: HTMLElement): [ShadowRoot, HTMLElement] {
	const root = host.shadowRoot ?? host.attachShadow({ mode: 'open' });
	root.replaceChildren();
	const box = document.createElement('div');
	box.style.height = '100%';
	root.append(box);
	return [root, box];
}

const common = (): Extension[] => [lineNumbers(), highlightSpecialChars(), drawSelection(), yaml(), indentUnit.of('  '), syntaxHighlighting(colors), look, EditorState.tabSize.of(2)];

export class Editor {
	private readonly view: EditorView;
	private readonly locked = new Compartment();

	constructor(host: HTMLElement, o: EditorOptions) {
		const [root, parent] = shadow(host);
		this.view = new EditorView({
			parent,
			root,
			state: EditorState.create({
				doc: o.text,
				extensions: [
					common(),
					highlightActiveLineGutter(),
					highlightActiveLine(),
					history(),
					foldGutter(),
					indentOnInput(),
					bracketMatching(),
					rectangularSelection(),
					crosshairCursor(),
					highlightSelectionMatches(),
					lintGutter(),
					autocompletion({ override: [complete(o.schemas)], icons: false }),
					help(o.schemas),
					keymap.of([
						{ key: 'Mod-s', preventDefault: true, run: () => (o.save(), true) },
						{ key: 'Tab', run: acceptCompletion },
						...completionKeymap,
						...lintKeymap,
						...searchKeymap,
						...historyKeymap,
						...foldKeymap,
						...defaultKeymap,
						indentWithTab,
					]),
					this.locked.of(EditorState.readOnly.of(o.readOnly)),
					EditorView.contentAttributes.of({ tabindex: '0', 'aria-label': o.label, spellcheck: 'false', autocapitalize: 'off' }),
					EditorView.updateListener.of((u) => u.docChanged && o.change(u.state.doc.toString())),
				],
			}),
		});
	}

	get text(): string {
		return this.view.state.doc.toString();
	}

	/** Another text, as far as possible with the cursor where it was. */
	set text(text: string) {
		if (text === this.text) return;
		const anchor = Math.min(this.view.state.selection.main.anchor, text.length);
		this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text }, selection: { anchor } });
	}

	lock(readOnly: boolean): void {
		this.view.dispatch({ effects: this.locked.reconfigure(EditorState.readOnly.of(readOnly)) });
	}

	problems(list: ManifestProblem[]): void {
		const { doc } = this.view.state;
		const diagnostics: Diagnostic[] = list.map((p) => {
			const line = doc.line(Math.min(Math.max(1, p.line ?? 1), doc.lines));
			const blank = /^\s*/.exec(line.text)?.[0].length ?? 0;
			return { from: line.from + Math.min(blank, line.length), to: line.to, severity: 'error', message: p.field ? `${p.field}: ${p.detail}` : p.detail };
		});
		this.view.dispatch(setDiagnostics(this.view.state, diagnostics));
	}

	/** Puts the cursor into a line, and the line into the middle. */
	go(number: number): void {
		const line = this.view.state.doc.line(Math.min(Math.max(1, number), this.view.state.doc.lines));
		this.view.dispatch({ selection: { anchor: line.to }, effects: EditorView.scrollIntoView(line.from, { y: 'center' }) });
		this.view.focus();
	}

	focus(): void {
		this.view.focus();
	}

	destroy(): void {
		this.view.destroy();
	}
}

/** Two texts side by side, what differs in colour. */
export class Compare {
	private readonly merge: MergeView;

	constructor(host: HTMLElement, a: string, b: string, labels: [string, string]) {
		const [root, parent] = shadow(host);
		parent.style.overflow = 'auto';
		const side = (doc: string, label: string) => ({ doc, extensions: [common(), EditorState.readOnly.of(true), EditorView.contentAttributes.of({ tabindex: '0', 'aria-label': label })] });
		this.merge = new MergeView({ parent, root, a: side(a, labels[0]), b: side(b, labels[1]), collapseUnchanged: { margin: 3, minSize: 6 }, gutter: true });
	}

	destroy(): void {
		this.merge.destroy();
	}
}
