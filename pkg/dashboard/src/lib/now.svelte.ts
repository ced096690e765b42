// One clock for all relative times of the page. It stands still while nobody looks.

class Clock {
	now = $state(Date.now());
	/** The same, moved on every ten seconds: for what is costly to look at again. */
	coarse = $state(Date.now());

	constructor() {
		if (typeof window === 'undefined') return;
		setInterval(() => {
			if (document.hidden) return;
			this.now = Date.now();
			if (this.now - this.coarse >= 10_000) this.coarse = this.now;
		}, 1000);
		document.addEventListener('visibilitychange', () => (this.now = Date.now()));
	}
}

export const clock = new Clock();
