// The stream of a log that is still being written. Lines come one by one and are handed
// on in batches, so that a job that writes thousands in a second costs a few updates.

const gather = 50; // ms
const calm = 1500; // ms that a lost connection may be lost before anybody is told
const lag = 2000; // lines behind which the server skips to the end
const longest = 30000;

export class Live {
	#source = null;
	#lines = [];
	#skipped = 0;
	#timer = 0;
	#notice = 0;
	#wait = 1000;
	#after = 0;

	// address(after) is of the stream. onLines(lines, skippedTo), onInfo(info), onEnd(lines),
	// onLost(true or false) tell what happens; onClosed() asks whether the log is still there:
	// it resolves to true if it is worth trying again.
	constructor(address, handlers) {
		this.address = address;
		Object.assign(this, handlers);
	}

	open(after) {
		this.#after = after;
		const source = this.#source = new EventSource(this.address({ after, skip: lag }));
		source.addEventListener("open", () => this.#found());
		source.addEventListener("line", (e) => {
			this.#lines.push(JSON.parse(e.data));
			this.#soon();
		});
		source.addEventListener("skip", (e) => {
			this.#skipped = JSON.parse(e.data).to;
			this.#soon();
		});
		source.addEventListener("info", (e) => {
			this.#flush();
			this.onInfo(JSON.parse(e.data));
		});
		source.addEventListener("end", (e) => {
			this.close(); // or the browser would connect again
			this.onEnd(JSON.parse(e.data).lines);
		});
		source.addEventListener("error", () => this.#lost(source));
	}

	close() {
		this.#flush();
		this.#source?.close();
		this.#source = null;
		this.#found();
	}

	#soon() {
		if (!this.#timer) this.#timer = setTimeout(() => this.#flush(), gather);
	}

	#flush() {
		clearTimeout(this.#timer);
		this.#timer = 0;
		if (this.#lines.length === 0 && this.#skipped === 0) return;
		const lines = this.#lines, skipped = this.#skipped;
		this.#lines = [];
		this.#skipped = 0;
		this.#after = Math.max(this.#after, skipped, lines.length > 0 ? lines[lines.length - 1].n : 0);
		this.onLines(lines, skipped);
	}

	#found() {
		clearTimeout(this.#notice);
		this.#notice = 0;
		this.#wait = 1000;
		this.onLost(false);
	}

	async #lost(source) {
		if (source !== this.#source) return;
		this.#notice ||= setTimeout(() => this.onLost(true), calm);
		if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
		this.#source = null;
		this.#flush();
		await new Promise((resolve) => setTimeout(resolve, this.#wait));
		this.#wait = Math.min(longest, this.#wait * 2);
		if (this.#source !== null) return;
		if (await this.onClosed()) this.open(this.#after);
		else this.#found(); // there is nothing to connect to any more
	}
}
