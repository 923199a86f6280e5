// The lines that were fetched: the few thousand that were used last, and the requests for
// more. What is asked for changes with every scroll, so a request that nobody waits for
// any more is given up.
import { Refused } from "./api.js";
import { clamp } from "./text.js";

const mostLines = 8000;
const mostUnits = 6 << 20; // UTF-16 units of text
const mostInFlight = 2;
const smallestBatch = 10, firstBatch = 100, largestBatch = 300;
const batchUnits = 1 << 19; // about as much text as one request should bring
const spanUnits = 20; // what a colour costs, as text

const cost = (line) => line.text.length + spanUnits * ((line.spans?.length || 0) + (line.hits?.length || 0));

export class Lines {
	#api;
	#cache = new Map(); // in the order of use, the oldest first
	#units = 0;
	#query = null;
	#wanted = [];
	#flights = new Set();
	#average = batchUnits / firstBatch; // units in a line, as seen lately
	#pause = 0;
	#timer = 0;

	// onLines is called when lines have come, onTrouble with an error when a request has
	// failed and will be made again, and with null when that is over.
	constructor(api, { onLines, onTrouble }) {
		this.#api = api;
		this.onLines = onLines;
		this.onTrouble = onTrouble;
	}

	// mark sets the query whose hits the lines carry, null for none. Lines that were
	// fetched with another one are of no use.
	mark(query) {
		if (JSON.stringify(query) === JSON.stringify(this.#query)) return false;
		this.#query = query;
		this.#cache.clear();
		this.#units = 0;
		for (const flight of this.#flights) flight.abort();
		this.#flights.clear();
		return true;
	}

	get marked() {
		return this.#query !== null;
	}

	get(n) {
		const line = this.#cache.get(n);
		if (!line) return undefined;
		this.#cache.delete(n);
		this.#cache.set(n, line);
		return line;
	}

	put(line) {
		const old = this.#cache.get(line.n);
		if (old) {
			this.#units -= cost(old);
			this.#cache.delete(line.n);
		}
		this.#cache.set(line.n, line);
		this.#units += cost(line);
		for (const [n, oldest] of this.#cache) {
			if (this.#cache.size <= mostLines && this.#units <= mostUnits) break;
			if (n === line.n) break;
			this.#cache.delete(n);
			this.#units -= cost(oldest);
		}
	}

	// want replaces what is wanted: numbers of lines, the most urgent first.
	want(numbers) {
		this.#wanted = numbers;
		const still = new Set(numbers);
		for (const flight of this.#flights) {
			if (flight.numbers.some((n) => still.has(n))) continue;
			flight.abort();
			this.#flights.delete(flight);
		}
		this.#pump();
	}

	// one returns a line even if it has been forgotten.
	async one(n) {
		return this.get(n) || (await this.#api.lines([n], this.#query))[0];
	}

	#pump() {
		if (this.#timer) return;
		while (this.#flights.size < mostInFlight) {
			const batch = this.#batch();
			if (batch.length === 0) return;
			this.#fly(batch);
		}
	}

	#batch() {
		const most = clamp(Math.floor(batchUnits / this.#average), smallestBatch, largestBatch);
		const coming = new Set();
		for (const flight of this.#flights) for (const n of flight.numbers) coming.add(n);
		const batch = [];
		for (const n of this.#wanted) {
			if (this.#cache.has(n) || coming.has(n)) continue;
			batch.push(n);
			if (batch.length === most) break;
		}
		return batch.sort((a, b) => a - b);
	}

	async #fly(numbers) {
		const flight = new AbortController();
		flight.numbers = numbers;
		this.#flights.add(flight);
		try {
			const lines = await this.#api.lines(numbers, this.#query, flight.signal);
			if (!this.#flights.delete(flight)) return;
			if (lines.length === 0) throw new Refused(0, "The lines did not come.");
			this.#settled(lines, numbers);
		} catch (error) {
			if (!this.#flights.delete(flight)) return;
			this.#again(error);
			return;
		}
		this.#pump();
	}

	#settled(lines, numbers) {
		const asked = new Set(numbers);
		let units = 1;
		for (const line of lines) {
			this.put(line);
			units += cost(line);
		}
		this.#average = units / lines.length;
		this.#wanted = this.#wanted.filter((n) => !asked.has(n));
		if (this.#pause) this.onTrouble(null);
		this.#pause = 0;
		this.onLines();
	}

	#again(error) {
		this.onTrouble(error);
		if (error.gone || this.#timer) return;
		this.#pause = Math.min(15000, this.#pause * 2 || 1000);
		this.#timer = setTimeout(() => {
			this.#timer = 0;
			this.#pump();
		}, this.#pause);
	}
}
