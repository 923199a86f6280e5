// Runs before the first paint, as a plain script: a reader who has chosen a theme must
// not see the other one flash by.
try {
	const theme = localStorage.getItem("kovra-log-theme");
	if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch { /* nothing is kept in a private window */ }
