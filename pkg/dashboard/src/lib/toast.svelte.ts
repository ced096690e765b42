import { message } from './api/client';

export interface Toast {
	id: number;
	kind: 'ok' | 'bad';
	text: string;
	/** A button in it, such as Undo. */
	action?: { label: string; run: () => void };
}

const LIFE = 5_000;

class Toasts {
	list = $state.raw<Toast[]>([]);
	private next = 1;

	private add(toast: Omit<Toast, 'id'>, life: number): number {
		const id = this.next++;
		this.list = [...this.list.slice(-3), { ...toast, id }];
		if (life > 0) setTimeout(() => this.close(id), life);
		return id;
	}

	ok(text: string, action?: Toast['action']): number {
		return this.add({ kind: 'ok', text, action }, action ? 2 * LIFE : LIFE);
	}

	/** An error stays until it is closed: nobody should have to read fast. */
	problem(error: unknown): number {
		return this.add({ kind: 'bad', text: message(error) }, 0);
	}

	close(id: number): void {
		this.list = this.list.filter((t) => t.id !== id);
	}
}

export const toast = new Toasts();
