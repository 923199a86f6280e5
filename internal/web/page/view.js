// Which lines there are to see, and in which order: a view maps positions, counted from 0,
// to line numbers, counted from 1, and back. Both views answer in logarithmic time, so a
// log of fifty million lines costs no more than one of fifty.

// firstAbove returns how many of the rising values are not above x.
function firstAbove(values, length, x) {
	let low = 0, high = length;
	while (low < high) {
		const middle = (low + high) >>> 1;
		if (values[middle] <= x) low = middle + 1;
		else high = middle;
	}
	return low;
}

// WholeView is every line but those that are folded away.
export class WholeView {
	#starts = []; // line before which a hidden range begins, as a position
	#ranges;
	#gone = [0]; // lines hidden before range k

	constructor(total, hidden) {
		this.total = total;
		this.#ranges = hidden.filter(([from]) => from <= total);
		let gone = 0;
		for (const [from, to] of this.#ranges) {
			this.#starts.push(from - 1 - gone);
			gone += Math.min(to, total) - from + 1;
			this.#gone.push(gone);
		}
		this.count = total - gone;
	}

	line(position) {
		return position + 1 + this.#gone[firstAbove(this.#starts, this.#starts.length, position)];
	}

	// position returns where line n is; of a hidden line, where the title is that hides it.
	position(n) {
		let low = 0, high = this.#ranges.length;
		while (low < high) {
			const middle = (low + high) >>> 1;
			if (this.#ranges[middle][1] < n) low = middle + 1;
			else high = middle;
		}
		const range = this.#ranges[low];
		if (range && range[0] <= n) return Math.max(0, this.#starts[low] - 1);
		return Math.max(0, Math.min(n - 1 - this.#gone[low], this.count - 1));
	}

	has(n) {
		return this.count > 0 && this.line(this.position(n)) === n;
	}
}

// MatchView is only the lines that match.
export class MatchView {
	#numbers;

	constructor(numbers, count) {
		this.#numbers = numbers;
		this.count = count;
	}

	line(position) {
		return this.#numbers[position];
	}

	// position returns where line n is, or else the next match, or else the last.
	position(n) {
		return Math.max(0, Math.min(firstAbove(this.#numbers, this.count, n - 1), this.count - 1));
	}

	has(n) {
		return this.count > 0 && this.#numbers[this.position(n)] === n;
	}
}

// matchesBetween counts how many of the rising numbers lie in [from, to).
export function matchesBetween(numbers, count, from, to) {
	return firstAbove(numbers, count, to - 1) - firstAbove(numbers, count, from - 1);
}
