// What a reader has chosen, kept in the browser where it lets us.

// kept returns the choice of that name, or null.
export function kept(name) {
	try {
		return localStorage.getItem("kovra-log-" + name);
	} catch {
		return null;
	}
}

// keep remembers a choice; null forgets it.
export function keep(name, value) {
	try {
		if (value === null) localStorage.removeItem("kovra-log-" + name);
		else localStorage.setItem("kovra-log-" + name, value);
	} catch { /* then it holds until the page is closed */ }
}
