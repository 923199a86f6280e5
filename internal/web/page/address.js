// The part of the address that names a line or a range of lines: #L10, #L10-L20.

export function parse(hash) {
	const found = /^#L(\d{1,9})(?:-L?(\d{1,9}))?$/.exec(hash);
	if (!found) return null;
	const a = Number(found[1]), b = Number(found[2] ?? found[1]);
	if (a < 1 || b < 1) return null;
	return { from: Math.min(a, b), to: Math.max(a, b) };
}

export function format(range) {
	if (!range) return "";
	return "#L" + range.from + (range.to > range.from ? "-L" + range.to : "");
}

// write puts the range in the address, as a step that Back undoes.
export function write(range) {
	const hash = format(range);
	if (hash === location.hash) return;
	history.pushState(null, "", hash || location.pathname + location.search);
}
