// The server's side of the log: one method for each address. Nothing is kept here.

// Refused is an answer that says no; gone means that asking again is of no use.
export class Refused extends Error {
	constructor(status, message) {
		super(message);
		this.status = status;
		this.shut = status === 401 || status === 403; // the message says what to do
		this.gone = this.shut || status === 404 || status === 410;
	}
}

async function refusal(res) {
	let message = "The server answered " + res.status + ".";
	try {
		message = (await res.json()).error || message;
	} catch { /* a proxy in between speaks HTML */ }
	return new Refused(res.status, message);
}

export class Api {
	// page is the address of the page, without query and fragment.
	constructor(page) {
		this.base = page.replace(/\/+$/, "");
	}

	address(name, params = {}) {
		const query = new URLSearchParams();
		for (const [key, value] of Object.entries(params)) {
			if (value !== undefined && value !== "" && value !== false) query.set(key, value === true ? "1" : String(value));
		}
		const tail = query.toString();
		return this.base + "/" + name + (tail && "?" + tail);
	}

	async #get(address, signal) {
		const res = await fetch(address, { signal });
		if (!res.ok) throw await refusal(res);
		return res;
	}

	async info(signal) {
		return (await this.#get(this.address("info"), signal)).json();
	}

	// lines returns the lines with the numbers given, which rise; with the query's hits
	// in them if there is a query.
	async lines(numbers, query, signal) {
		const from = numbers[0];
		const span = numbers[numbers.length - 1] - from + 1;
		// A few lines too many are cheaper than a long list of numbers.
		const which = span <= Math.min(1000, numbers.length * 1.5) ? { from, n: span } : { at: numbers.join(",") };
		return (await (await this.#get(this.address("lines", { ...which, ...query }), signal)).json()).lines;
	}

	// search yields the parts of the answer as they come; from is the first line of interest.
	async * search(query, from, signal) {
		const res = await this.#get(this.address("search", { ...query, from: from > 1 ? from : undefined }), signal);
		const reader = res.body.pipeThrough(new TextDecoderStream()).getReader();
		for (let rest = "";;) {
			const { value, done } = await reader.read();
			if (done) return;
			const parts = (rest + value).split("\n");
			rest = parts.pop();
			for (const part of parts) if (part) yield JSON.parse(part);
		}
	}

	async raw(signal) {
		return (await this.#get(this.address("raw"), signal)).text();
	}
}
