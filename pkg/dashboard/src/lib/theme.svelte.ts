export type Theme = 'system' | 'light' | 'dark';

function stored(): Theme {
	try {
		const value = localStorage.getItem('theme');
		return value === 'light' || value === 'dark' ? value : 'system';
	} catch {
		return 'system';
	}
}

class Themes {
	chosen = $state<Theme>('system');

	constructor() {
		if (typeof window !== 'undefined') this.chosen = stored();
	}

	choose(theme: Theme): void {
		this.chosen = theme;
		if (theme === 'system') delete document.documentElement.dataset.theme;
		else document.documentElement.dataset.theme = theme;
		try {
			if (theme === 'system') localStorage.removeItem('theme');
			else localStorage.setItem('theme', theme);
		} catch {
			// It holds until the page is closed.
		}
	}

	/** What is shown, whoever decided it. */
	get dark(): boolean {
		return this.chosen === 'dark' || (this.chosen === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
	}
}

export const theme = new Themes();
