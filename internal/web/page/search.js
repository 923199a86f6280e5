// A search in the whole log: the server says which lines match, part by part, and here is
// what is known so far. Numbers, four bytes each, are kept of at most a million matches.

const mostKept = 1_000_000;
const patience = 250; // ms that the old result may stay while the new one has nothing to show
const growPause = 400; // ms between looks at what a running job has written since
const failPause = 3000; // ms before a search that broke off goes on

export class Search {
	#api;
	#asking = null; // the request under way
	#timer = 0;
	#total = 0; // lines there are, as far as we were told
	query = null; // of the result; null when there is none
	numbers = new Uint32Array(1024);
	stored = 0;
	matches = 0;
	scanned = 0;
	busy = false;
	error = "";
	current = -1; // index of the match that the reader is at

	// onChange(fresh) is called when something has changed; fresh when it is another query.
	constructor(api, { onChange }) {
		this.#api = api;
		this.onChange = onChange;
	}

	// start looks for the query in lines 1 and up. What was found before stays until there
	// is something new to show, and after a query that is not valid.
	start(query) {
		this.#stop();
		this.error = "";
		this.#run(query, 1);
	}

	clear() {
		this.#stop();
		const had = this.query !== null;
		this.query = null;
		this.error = "";
		this.#reset();
		this.onChange(had);
	}

	// grow looks at the lines that have come since.
	grow(total) {
		this.#total = total;
		if (!this.query || this.#asking || this.#timer || this.scanned >= total) return;
		this.#goOn(growPause);
	}

	#goOn(pause) {
		this.#timer = setTimeout(() => {
			this.#timer = 0;
			this.#run(this.query, this.scanned + 1);
		}, pause);
	}

	// step moves to the next match (1) or the one before (-1) and returns its line, or 0.
	// near is the line to begin at if one is at no match yet.
	step(direction, near) {
		if (this.stored === 0) return 0;
		if (this.current < 0) {
			this.current = this.#at(near);
			if (direction < 0) this.current--;
		} else this.current += direction;
		this.current = (this.current + this.stored) % this.stored;
		return this.numbers[this.current];
	}

	// setCurrent makes line n the current match, if it is one.
	setCurrent(n) {
		const index = this.#at(n);
		this.current = this.numbers[index] === n && index < this.stored ? index : -1;
	}

	// #at returns the index of the first match from line n on.
	#at(n) {
		let low = 0, high = this.stored;
		while (low < high) {
			const middle = (low + high) >>> 1;
			if (this.numbers[middle] < n) low = middle + 1;
			else high = middle;
		}
		return low;
	}

	#stop() {
		this.#asking?.abort();
		this.#asking = null;
		clearTimeout(this.#timer);
		this.#timer = 0;
		this.busy = false;
	}

	#reset() {
		this.numbers = new Uint32Array(1024);
		this.stored = this.matches = this.scanned = 0;
		this.current = -1;
	}

	async #run(query, from) {
		const asking = this.#asking = new AbortController();
		const growing = from > 1;
		const began = performance.now();
		let held = [];
		this.busy = !growing;
		if (!growing) this.onChange(false);
		try {
			for await (const part of this.#api.search(query, from, asking.signal)) {
				if (asking !== this.#asking) return;
				if (part.error) throw new Error(part.error); // it came too late for a status
				held.push(part);
				const empty = !part.numbers?.length && !part.done;
				if (!growing && this.query !== query) {
					if (empty && performance.now() - began < patience) continue;
					this.query = query;
					this.#reset();
					this.#take(held);
					this.onChange(true);
				} else {
					this.#take(held);
					this.onChange(false);
				}
				held = [];
			}
		} catch (error) {
			if (asking !== this.#asking) return;
			if (this.query === query && !error.gone) {
				this.#asking = null;
				this.#goOn(failPause); // what there is stays, and counts as unfinished
				return;
			}
			this.error = error instanceof TypeError ? "The server cannot be reached. Press Enter to try again." : error.message;
		}
		if (asking !== this.#asking) return;
		this.#asking = null;
		this.busy = false;
		this.onChange(false);
		if (this.scanned >= from) this.grow(this.#total); // lines that came meanwhile
	}

	#take(parts) {
		for (const part of parts) {
			const before = this.scanned;
			for (const n of part.numbers || []) {
				if (n <= before) continue; // looked at already
				this.matches++;
				if (this.stored < mostKept) this.#keep(n);
			}
			this.scanned = Math.max(this.scanned, part.scanned || 0);
		}
	}

	#keep(n) {
		if (this.stored === this.numbers.length) {
			const larger = new Uint32Array(Math.min(mostKept, this.numbers.length * 2));
			larger.set(this.numbers);
			this.numbers = larger;
		}
		this.numbers[this.stored++] = n;
	}
}
