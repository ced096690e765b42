import { describe, expect, it } from 'vitest';
import { plain, spans } from './ansi';
import { FOLD, LogModel, own, split, width, type Fresh } from './model';

const line = (text: string, entry = ''): Fresh => ({ service: 'web', stream: 'stdout', time: 0, text, level: 'info', entry });
const many = (n: number, entry: string): Fresh[] => Array.from({ length: n }, (_, i) => line(`${entry} ${i}`, entry));
const shown = (m: LogModel) => m.window(0, m.total).map((i) => m.lines[i]!.text);

describe('ansi', () => {
	it('cuts a text where its looks change', () => {
		expect(spans('a\u001b[31mb\u001b[1mc\u001b[0md')).toEqual([
			{ text: 'a', classes: '' },
			{ text: 'b', classes: 'fg1' },
			{ text: 'c', classes: 'fg1 bold' },
			{ text: 'd', classes: '' },
		]);
	});
	it('knows wide colours, and forgets what moves the cursor', () => {
		expect(spans('\u001b[38;5;196mx\u001b[48;2;1;2;300my\u001b[2J\u001b[Hz')).toEqual([
			{ text: 'x', classes: '', color: 'rgb(255 0 0)' },
			{ text: 'yz', classes: '', color: 'rgb(255 0 0)', ground: 'rgb(1 2 255)' },
		]);
		expect(plain('\u001b]0;title\u0007a\u001b[1;33mb\r\u0008c\td')).toBe('abc\td');
	});
});

describe('LogModel', () => {
	it('shows the first and the last line of a long entry, and all of it when it is opened', () => {
		const m = new LogModel(100);
		m.append([line('before', 'a'), ...many(6, 'b'), line('after', 'c')]);
		expect(shown(m)).toEqual(['before', 'b 0', 'b 5', 'after']);
		expect(m.fold(1)).toEqual({ hidden: 4, open: false });
		m.toggle('b');
		expect(shown(m)).toHaveLength(8);
		expect(m.total).toBe(8 * 20);
	});
	it('folds an entry that grows, line by line, as it does one that comes at once', () => {
		const grown = new LogModel(100);
		const whole = new LogModel(100);
		for (const l of many(FOLD + 3, 'e')) grown.append([l]);
		whole.append(many(FOLD + 3, 'e'));
		expect(shown(grown)).toEqual(shown(whole));
		expect(grown.tops).toEqual(whole.tops);
		expect(shown(grown)).toEqual(['e 0', `e ${FOLD + 2}`]);
	});
	it('keeps its places when lines come above and go away', () => {
		const m = new LogModel(10);
		m.append(many(3, 'x').map((l, i) => ({ ...l, entry: `x${i}` })));
		expect(m.prepend([line('old', 'o1'), line('older', 'o2')])).toBe(40);
		expect(m.lines.map((l) => l.text)).toEqual(['old', 'older', 'x 0', 'x 1', 'x 2']);
		expect(new Set(m.lines.map((l) => l.id)).size).toBe(5);
		m.append(Array.from({ length: 20 }, (_, i) => line(`n${i}`, `n${i}`)));
		expect(m.trim()).toBe(15 * 20);
		expect(m.lines).toHaveLength(10);
		expect(m.total).toBe(200);
		expect(m.top(0)).toBe(0);
		expect(m.at(39)).toBe(1);
		expect(m.at(1e9)).toBe(9);
	});
	it('counts rows of lines that are broken', () => {
		const m = new LogModel(10);
		m.layout(10, 20);
		m.append([line('x'.repeat(25)), line(''), line('\u001b[31m' + 'y'.repeat(10) + '\u001b[0m')]);
		expect(m.tops).toEqual([0, 60, 80, 100]);
		m.layout(0, 20);
		expect(m.tops).toEqual([0, 20, 40, 60]);
	});
	it('is empty in peace', () => {
		const m = new LogModel(10);
		expect(m.window(0, 100)).toEqual([]);
		expect(m.trim()).toBe(0);
		expect(m.at(5)).toBe(0);
	});
});

it('counts columns', () => {
	expect(width('日本')).toBe(4);
	expect(width('a\tb')).toBe(9);
	expect(width('😀')).toBe(2);
});

it('reads entries and the supervisor’s own lines', () => {
	const got = split({ service: 's', stream: 'stderr', time: '2026-01-02T03:04:05Z', text: 'a\nb', level: 'error', cursor: 'c' });
	expect(got.map((l) => [l.text, l.entry, l.level])).toEqual([
		['a', 'c', 'error'],
		['b', 'c', 'error'],
	]);
	expect(own('time=2026-01-02T03:04:05Z level=WARN msg="x y"')).toMatchObject({ level: 'warning', text: 'msg="x y"', time: Date.parse('2026-01-02T03:04:05Z') });
	expect(own('{"time":"2026-01-02T03:04:05Z","level":"ERROR","msg":"x"}')).toMatchObject({ level: 'error' });
});
