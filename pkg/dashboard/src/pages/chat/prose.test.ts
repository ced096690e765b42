import { expect, it } from 'vitest';
import { pieces, spans } from './prose';

it('reads code and emphasis within a line', () =>
	expect(spans('run `ls -a` **now**, *please*: 2*3*4.')).toEqual([
		{ kind: 'plain', text: 'run ' },
		{ kind: 'code', text: 'ls -a' },
		{ kind: 'plain', text: ' ' },
		{ kind: 'strong', text: 'now' },
		{ kind: 'plain', text: ', ' },
		{ kind: 'em', text: 'please' },
		{ kind: 'plain', text: ': 2*3*4.' },
	]));

it('reads blocks, also one that is not finished', () => {
	const kinds = (text: string) => pieces(text).map((p) => (p.kind === 'code' ? `code:${p.language}:${p.text}` : `${p.mark ? `item ${p.mark}` : p.head ? 'head' : 'text'}:${p.spans.map((s) => s.text).join('')}`));
	expect(kinds('# Why\nIt failed.\n\n- one\n2. two\n\n```sh\nls\n\npwd\n```\nThen.')).toEqual(['head:Why', 'text:It failed.', 'item •:one', 'item 2.:two', 'code:sh:ls\n\npwd', 'text:Then.']);
	expect(kinds('So:\n```\nhalf')).toEqual(['text:So:', 'code::half']);
	expect(kinds('<img src=x onerror=alert(1)>')).toEqual(['text:<img src=x onerror=alert(1)>']);
	expect(kinds('')).toEqual([]);
});
