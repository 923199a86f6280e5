// Text for the clipboard: the whole log, or what was selected with the mouse, exactly as
// it is in the log and without line numbers.
import { lineOf } from "./row.js";

// Above this the browser would be busy for too long with one copy.
export const mostBytes = 30 << 20;

// copyText puts text that has yet to come into the clipboard. It returns the text, and
// whether it could be put there: some browsers only allow it right after a press.
export async function copyText(coming) {
	if (navigator.clipboard?.write && window.ClipboardItem) {
		try {
			const blob = coming.then((text) => new Blob([text], { type: "text/plain" }));
			await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
			return { text: await coming, copied: true };
		} catch { /* an older browser, which wants the text at once */ }
	}
	const text = await coming;
	try {
		await navigator.clipboard.writeText(text);
		return { text, copied: true };
	} catch { /* no clipboard for plain http, or the press was too long ago */ }
	return { text, copied: copyNow(text) };
}

// copyNow copies the old way, which works for plain http too.
export function copyNow(text) {
	const area = document.createElement("textarea");
	area.value = text;
	area.className = "vh";
	area.setAttribute("aria-hidden", "true");
	const before = document.activeElement;
	document.body.append(area);
	area.select();
	let copied = false;
	try {
		copied = document.execCommand("copy");
	} catch { /* the same as false */ }
	area.remove();
	before?.focus?.({ preventScroll: true });
	return copied;
}

// lineCount is how many lines a text has.
export function lineCount(text) {
	let count = 0;
	for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
	return text === "" || text.endsWith("\n") ? count : count + 1;
}

// selectedText returns what is selected in the rows, or null if nothing is. get(n) is the
// line, where it is at hand: a row may show only a part of it.
export function selectedText(rows, get) {
	const selection = document.getSelection();
	if (selection.isCollapsed || selection.rangeCount === 0) return null;
	const range = selection.getRangeAt(0);
	if (!range.intersectsNode(rows)) return null;
	const parts = [];
	for (const row of rows.children) {
		const chars = row.querySelector(".chars");
		if (chars && range.intersectsNode(chars)) parts.push(partOf(range, row, chars, get));
	}
	// Selecting whole lines by three clicks ends at the beginning of the line below.
	if (parts.length > 1 && parts[parts.length - 1] === "" && range.endOffset === 0) parts.pop();
	return parts.length > 0 ? parts.join("\n") : null;
}

function partOf(range, row, chars, get) {
	const part = document.createRange();
	part.selectNodeContents(chars);
	const whole = range.compareBoundaryPoints(Range.START_TO_START, part) <= 0 && range.compareBoundaryPoints(Range.END_TO_END, part) >= 0;
	if (whole) return get(lineOf(row))?.text ?? chars.textContent;
	if (range.compareBoundaryPoints(Range.START_TO_START, part) > 0) part.setStart(range.startContainer, range.startOffset);
	if (range.compareBoundaryPoints(Range.END_TO_END, part) < 0) part.setEnd(range.endContainer, range.endOffset);
	return part.toString();
}
