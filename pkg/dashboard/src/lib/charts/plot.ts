// uPlot in our colours, with marks and bounds. Loaded on demand.

import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Mark, MarkKind } from './marks';

export interface Line {
	label: string;
	/** The name of a token. */
	color: string;
	values: (number | null)[];
	fill?: boolean;
	faint?: boolean;
}

export interface PlotOptions {
	times: number[];
	lines: Line[];
	from: number;
	to: number;
	marks: Mark[];
	/** A line across, such as the memory that may be used. */
	bound?: { at: number; label: string };
	/** The least top of the scale, so that noise stays flat. */
	floor: number;
	format: (v: number) => string;
	width: number;
	height: number;
	/** Charts of one name move their cursors together. */
	sync: string;
	/** Called with the index of the point under the cursor; null when it is elsewhere. */
	hover: (index: number | null) => void;
	/** Called with the ends of what was dragged over. */
	zoom: (from: number, to: number) => void;
}

const token = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const markColor: Record<MarkKind, string> = { crash: '--dot-bad', deploy: '--accent', stop: '--dot-idle' };

function drawn(o: PlotOptions): uPlot.Plugin {
	return {
		hooks: {
			drawAxes: (u) => {
				const { ctx } = u;
				const { left, top, width, height } = u.bbox;
				const px = devicePixelRatio;
				ctx.save();
				ctx.beginPath();
				ctx.rect(left, top, width, height);
				ctx.clip();
				for (const m of o.marks) {
					const x = Math.round(u.valToPos(m.at, 'x', true));
					ctx.strokeStyle = ctx.fillStyle = token(markColor[m.kind]);
					ctx.lineWidth = px;
					ctx.globalAlpha = 0.55;
					ctx.setLineDash(m.kind === 'crash' ? [] : [3 * px, 3 * px]);
					ctx.beginPath();
					ctx.moveTo(x, top);
					ctx.lineTo(x, top + height);
					ctx.stroke();
					ctx.globalAlpha = 1;
					ctx.setLineDash([]);
					ctx.beginPath();
					// A shape for each kind: colour alone does not tell.
					if (m.kind === 'crash') {
						ctx.moveTo(x - 4 * px, top);
						ctx.lineTo(x + 4 * px, top);
						ctx.lineTo(x, top + 7 * px);
					} else if (m.kind === 'deploy') ctx.rect(x - 3 * px, top, 6 * px, 6 * px);
					else ctx.arc(x, top + 3 * px, 2.5 * px, 0, 7);
					ctx.fill();
				}
				if (o.bound) {
					const y = Math.round(u.valToPos(o.bound.at, 'y', true));
					ctx.strokeStyle = ctx.fillStyle = token('--bad');
					ctx.lineWidth = px;
					ctx.setLineDash([5 * px, 4 * px]);
					ctx.beginPath();
					ctx.moveTo(left, y);
					ctx.lineTo(left + width, y);
					ctx.stroke();
					ctx.font = `${11 * px}px ${token('--sans')}`;
					ctx.textAlign = 'right';
					ctx.fillText(o.bound.label, left + width - 4 * px, y - 4 * px);
				}
				ctx.restore();
			},
		},
	};
}

const two = (n: number) => String(n).padStart(2, '0');

/** A time on the axis, as fine as the range needs it. */
export function tick(seconds: number, range: number): string {
	const d = new Date(seconds * 1000);
	const clock = `${two(d.getHours())}:${two(d.getMinutes())}`;
	if (range < 300) return `${clock}:${two(d.getSeconds())}`;
	if (range < 26 * 3600) return clock;
	const day = d.toLocaleDateString(undefined, { day: 'numeric', month: 'short' });
	return range < 5 * 86400 && clock !== '00:00' ? `${day} ${clock}` : day;
}

export class Plot {
	private u: uPlot;
	private o: PlotOptions;

	constructor(at: HTMLElement, o: PlotOptions) {
		this.o = o;
		const axis = { stroke: token('--muted'), grid: { stroke: token('--line'), width: 1 }, ticks: { show: false }, font: `11px ${token('--sans')}` };
		const top = (max: number) => Math.max(o.floor, max * 1.12, (o.bound?.at ?? 0) <= max * 4 ? (o.bound?.at ?? 0) * 1.12 : 0);
		this.u = new uPlot(
			{
				width: o.width,
				height: o.height,
				padding: [10, 8, 0, 0],
				legend: { show: false },
				cursor: {
					sync: { key: o.sync },
					points: { size: 6 },
					drag: { x: true, y: false, setScale: false },
				},
				select: { show: true, left: 0, top: 0, width: 0, height: 0 },
				scales: { x: { time: true, range: [o.from, o.to] }, y: { range: (_u, _min, max) => [0, top(max ?? 0)] } },
				axes: [
					{ ...axis, space: 76, size: 26, values: (_u, splits) => splits.map((s) => tick(s, o.to - o.from)) },
					{ ...axis, size: 62, space: 28, gap: 6, values: (_u, values) => values.map((v) => o.format(v)) },
				],
				series: [
					{},
					...o.lines.map((l) => ({
						label: l.label,
						stroke: token(l.color),
						width: l.faint ? 1 : 1.5,
						alpha: l.faint ? 0.45 : 1,
						fill: l.fill ? `color-mix(in srgb, ${token(l.color)} 12%, transparent)` : undefined,
						points: { show: o.times.length < 3 },
						spanGaps: false,
					})),
				],
				plugins: [drawn(o)],
				hooks: {
					setCursor: [(u) => o.hover(u.cursor.idx ?? null)],
					setSelect: [
						(u) => {
							if (u.select.width > 6) o.zoom(u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x'));
							u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
						},
					],
				},
			},
			[o.times, ...o.lines.map((l) => l.values)],
			at,
		);
	}

	resize(width: number, height: number): void {
		if (width !== this.o.width || height !== this.o.height) this.u.setSize({ width, height });
		this.o = { ...this.o, width, height };
	}

	destroy(): void {
		this.u.destroy();
	}
}
