// Runs before the first paint, so that a chosen theme does not flash. Without a choice the system's preference holds, in CSS.
try {
	const theme = localStorage.getItem('theme');
	if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
	// Storage is blocked: the system's preference holds.
}
