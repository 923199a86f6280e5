// One row: a line's number, its text with colours, and what may be pressed in it. Text from
// the log only ever becomes text.
import { pieces, number } from "./text.js";

// A line may have 64 KiB; this much of it is shown at once.
const shownUnits = 2000;

function element(tag, className, text) {
	const el = document.createElement(tag);
	if (className) el.className = className;
	if (text !== undefined) el.textContent = text;
	return el;
}

// makeRow returns the row of line n, blank until fillRow. Blank rows have their number, so
// that scrolling never has to wait for the server.
export function makeRow(n) {
	const row = element("div", "row blank");
	row.dataset.n = n;
	row.dataset.test = "row";
	const link = element("a", "no", String(n));
	link.href = "#L" + n;
	link.tabIndex = -1; // there are too many to tab through; the keyboard has L
	link.setAttribute("aria-label", "Line " + n);
	row.append(link, element("div", "text"));
	return row;
}

export const lineOf = (row) => Number(row.dataset.n);

// fillRow puts the line in. suspects says whether error-looking lines are to be marked.
export function fillRow(row, line, suspects) {
	row.className = "row";
	const text = row.lastChild;
	text.className = "text" + (line.depth > 1 ? " d" + Math.min(line.depth - 1, 5) : "");
	text.replaceChildren();
	if (line.header) row.classList.add("header");
	if (line.stream === "E") mark(row, text, "err", "stderr: ", "Written to standard error");
	else if (line.suspect && suspects) mark(row, text, "suspect", "possible error: ", "Looks like an error");
	fillText(text, line, shownUnits);
}

function mark(row, text, className, words, title) {
	row.classList.add(className);
	row.firstChild.title = title;
	text.append(element("span", "vh", words));
}

function fillText(text, line, limit) {
	const chars = element("span", "chars");
	const { out, end } = pieces(line, limit);
	for (const piece of out) {
		if (!piece.look && !piece.hit) chars.append(piece.text);
		else chars.append(element(piece.hit ? "mark" : "span", piece.look, piece.text));
	}
	text.append(chars);
	if (end < line.text.length) {
		const more = element("button", "more", "show " + number(line.text.length - end) + " more characters");
		more.type = "button";
		text.append(more);
	}
}

// unfoldText shows the rest of a long line.
export function unfoldText(row, line) {
	const text = row.lastChild;
	text.querySelector(".chars").remove();
	text.querySelector(".more")?.remove();
	fillText(text, line, Infinity);
}

// dressRow shows what can change without the line changing: whether it is in the range
// that the address names, whether it is the match one is at, and its section.
export function dressRow(row, { selected, current, fold }) {
	row.classList.toggle("selected", selected);
	row.classList.toggle("current", current);
	if (row.classList.contains("blank")) return;
	const text = row.lastChild;
	let button = text.querySelector(".fold");
	if (!fold) {
		button?.remove();
		text.querySelector(".hidden-lines")?.remove();
		return;
	}
	if (!button) {
		button = element("button", "fold");
		button.type = "button";
		button.dataset.test = "fold";
		text.prepend(button);
		text.append(element("span", "hidden-lines"));
	}
	button.setAttribute("aria-expanded", String(!fold.folded));
	button.setAttribute("aria-label", "Section " + text.querySelector(".chars").textContent.slice(0, 80));
	text.querySelector(".hidden-lines").textContent = fold.folded ? number(fold.lines) + (fold.lines === 1 ? " line" : " lines") : "";
}
