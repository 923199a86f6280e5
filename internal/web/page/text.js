// Words and numbers as people read them, and a line's text cut into pieces of one look.

const grouped = new Intl.NumberFormat("en-US");

export const number = (n) => grouped.format(n);

// plural writes "1 line", "1,204 lines".
export const plural = (n, word, words = word + "s") => number(n) + " " + (n === 1 ? word : words);

// duration writes seconds as "8s", "2m 13s", "1h 04m".
export function duration(seconds) {
	const s = Math.max(0, Math.floor(seconds));
	const two = (n) => String(n).padStart(2, "0");
	if (s < 60) return s + "s";
	if (s < 3600) return Math.floor(s / 60) + "m " + two(s % 60) + "s";
	return Math.floor(s / 3600) + "h " + two(Math.floor(s / 60) % 60) + "m";
}

export const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

// A line of a million colours is legal; this many pieces are shown before one has to ask.
const mostPieces = 400;

// pieces cuts the first part of a line, at most limit UTF-16 units, where its look
// changes. Each piece has a text, a class and whether it is a match. end is how far it got.
export function pieces(line, limit) {
	const text = line.text;
	let end = Math.min(text.length, limit);
	if (end < text.length && isHighSurrogate(text, end - 1)) end--;
	const spans = line.spans || [], hits = line.hits || [];
	const out = [];
	let s = 0, h = 0;
	for (let at = 0; at < end;) {
		if (out.length === mostPieces && limit !== Infinity) return { out, end: at };
		while (s < spans.length && spans[s][1] <= at) s++;
		while (h < hits.length && hits[h][1] <= at) h++;
		let next = end, look = "", hit = false;
		if (s < spans.length) {
			if (spans[s][0] <= at) {
				look = spans[s][2];
				next = Math.min(next, spans[s][1]);
			} else next = Math.min(next, spans[s][0]);
		}
		if (h < hits.length) {
			if (hits[h][0] <= at) {
				hit = true;
				next = Math.min(next, hits[h][1]);
			} else next = Math.min(next, hits[h][0]);
		}
		out.push({ text: text.slice(at, next), look, hit });
		at = next;
	}
	return { out, end };
}

function isHighSurrogate(text, at) {
	const unit = text.charCodeAt(at);
	return unit >= 0xd800 && unit < 0xdc00;
}
