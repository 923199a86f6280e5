// The sections of a log, which of them are folded, and so which lines are hidden.

export class Folds {
	#sections = []; // by their first line; inner ones after the one they are in
	#chosen = new Map(); // first line → folded, where the reader has said so
	#byLine = new Map();
	#open = []; // those that may still grow, the outermost first
	#everything = null; // what the reader said of all: true, false, or nothing

	// set takes the server's list. What the reader has folded stays so.
	set(sections) {
		this.#sections = sections.map((s) => ({ ...s }));
		this.#byLine = new Map(this.#sections.map((s) => [s.from, s]));
		this.#open = this.#sections.filter((s) => s.open);
	}

	// take follows the sections through a line that was just written.
	take(line) {
		const depth = line.depth || 0;
		while (this.#open.length > 0) {
			const last = this.#open[this.#open.length - 1];
			if (depth > last.depth || (depth === last.depth && !line.header)) break;
			last.open = false;
			this.#open.pop();
		}
		for (const section of this.#open) section.to = Math.max(section.to, line.n);
		if (!line.header || this.#byLine.has(line.n)) return;
		const section = { from: line.n, to: line.n, depth, collapsed: !!line.collapsed, open: true };
		this.#sections.push(section);
		this.#byLine.set(line.n, section);
		this.#open.push(section);
	}

	get any() {
		return this.#sections.length > 0;
	}

	get anyOpen() {
		return this.#sections.some((s) => !this.#folded(s));
	}

	#folded(section) {
		return this.#chosen.get(section.from) ?? this.#everything ?? section.collapsed;
	}

	// at tells of the section that begins with line n: whether it is folded, and how many
	// lines it has below its title. Nothing if there is nothing to fold.
	at(n) {
		const section = this.#byLine.get(n);
		if (!section || section.to <= section.from) return undefined;
		return { folded: this.#folded(section), lines: section.to - section.from };
	}

	toggle(n) {
		const section = this.#byLine.get(n);
		if (section) this.#chosen.set(n, !this.#folded(section));
	}

	// all folds or unfolds every section, and those that will come.
	all(folded) {
		this.#chosen.clear();
		this.#everything = folded;
	}

	// reveal unfolds what hides line n and reports whether something did.
	reveal(n) {
		let changed = false;
		for (const section of this.#sections) {
			if (section.from >= n) break;
			if (section.to < n || !this.#folded(section)) continue;
			this.#chosen.set(section.from, false);
			changed = true;
		}
		return changed;
	}

	// hidden returns what is folded away as rising ranges that do not touch.
	hidden() {
		const ranges = [];
		let until = 0;
		for (const section of this.#sections) {
			if (section.from <= until || section.to <= section.from || !this.#folded(section)) continue;
			ranges.push([section.from + 1, section.to]);
			until = section.to;
		}
		return ranges;
	}
}
