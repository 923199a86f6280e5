// The log on the screen: brings together the lines, the folds, the window and the rail, and
// knows where the reader is and what is marked.
import { Folds } from "./folds.js";
import { Lines } from "./lines.js";
import { Rail } from "./rail.js";
import { Window } from "./window.js";
import { MatchView, WholeView } from "./view.js";
import { dressRow, fillRow, lineOf, unfoldText } from "./row.js";
import { selectedText } from "./copy.js";

const near = 150; // lines fetched beyond the rows in each direction

export class Log {
	#suspects = false;
	#everything = false; // is selected, also what is not in the page
	#matches = null; // numbers and how many, while a search shows something
	#only = false;
	#current = 0; // line of the match one is at
	#view = new WholeView(0, []);
	total = 0;
	selected = null; // the range that the address names
	folds = new Folds();

	// parts are the elements scroller, rows and rail. onMove() is called when something
	// else is to be seen, onPick(n, wide) when a line number is pressed, onTrouble(error)
	// when lines do not come, onFold() when a section was folded or unfolded, onCopyAll() when the
	// whole log was selected and is to be copied.
	constructor(api, parts, handlers) {
		Object.assign(this, handlers);
		this.rows = parts.rows;
		this.scroller = parts.scroller;
		this.lines = new Lines(api, { onLines: () => this.#filled(), onTrouble: (error) => this.onTrouble(error) });
		this.rail = new Rail(parts.rail, { onGo: (part) => this.#goPart(part) });
		this.window = new Window(parts.scroller, parts.rows, { fill: (row) => this.#fill(row), onMove: () => this.#moved() });
		parts.rows.addEventListener("click", (e) => this.#clicked(e));
		document.addEventListener("copy", (e) => this.#copied(e));
		document.addEventListener("pointerdown", () => { this.#everything = false; });
		document.addEventListener("selectionchange", () => { this.#everything &&= !document.getSelection().isCollapsed; });
	}

	// suspects says whether error-looking lines are marked.
	set suspects(on) {
		if (on === this.#suspects) return;
		this.#suspects = on;
		for (const row of this.window.rows()) this.#fill(row);
	}

	get view() {
		return this.#view;
	}

	get filtered() {
		return this.#only && this.#matches !== null;
	}

	#build() {
		this.#view = this.filtered ? new MatchView(this.#matches.numbers, this.#matches.count) : new WholeView(this.total, this.folds.hidden());
		this.rail.mark(this.#view, this.filtered ? null : this.#matches);
	}

	// setTotal says how many lines there are now.
	setTotal(total) {
		if (total === this.total) return;
		this.total = total;
		this.rows.style.setProperty("--digits", String(Math.max(3, String(total).length)));
		if (!this.filtered) this.#grow();
	}

	// take adds lines that were just written; skippedTo is a line up to which there are
	// some that were not sent.
	take(lines, skippedTo) {
		for (const line of lines) {
			this.folds.take(line);
			if (!this.lines.marked) this.lines.put(line);
		}
		this.setTotal(Math.max(this.total, skippedTo, lines.length > 0 ? lines[lines.length - 1].n : 0));
	}

	// #grow shows what has come at the end. Only sections can move what was there before.
	#grow() {
		const old = this.#view, stood = this.#standing();
		this.#build();
		const edge = Math.min(old.count, this.#view.count) - 1;
		if (edge >= 0 && old.line(edge) !== this.#view.line(edge)) this.#stand(stood);
		else this.window.grown(this.#view);
	}

	// setSections takes a new list of sections.
	setSections(sections) {
		this.folds.set(sections);
		if (this.filtered) return;
		if (this.total === 0) this.#build();
		else this.#grow();
		this.dress();
	}

	// #standing tells where the reader is, #stand goes back there.
	#standing() {
		if (this.window.following || this.#view.count === 0) return { end: true };
		const { top } = this.window.seen();
		const row = this.window.row(this.#view.line(top));
		return { n: this.#view.line(top), offset: row ? this.window.offset(row) : 0, only: this.#only };
	}

	#stand({ end, n, offset }) {
		if (end) this.window.showEnd(this.#view);
		else this.window.show(this.#view, this.#view.position(n), offset);
	}

	get standing() {
		return this.#standing();
	}

	stand(where) {
		this.#build();
		this.#stand(where);
	}

	// find shows the matches of a query: only them, or all lines with the hits marked.
	// fresh: it is another query than before.
	find(query, numbers, count, only, fresh) {
		const before = this.filtered;
		this.#matches = query && { numbers, count };
		this.#only = only;
		const remarked = this.lines.mark(query);
		const stood = this.#standing();
		this.#build();
		if (this.filtered && (fresh || !before)) this.window.show(this.#view, 0);
		else if (before !== this.filtered || remarked) this.#stand(stood);
		else if (this.filtered) this.window.grown(this.#view);
	}

	// setOnly changes between the matches alone and the whole log; n is kept in sight.
	setOnly(only, n) {
		const row = this.window.row(n);
		const offset = row ? this.window.offset(row) : this.window.height / 3;
		const context = only ? 0 : this.window.height / 5; // who asks for all lines wants to see some before it
		this.#only = only;
		if (!only && this.folds.reveal(n)) this.onFold();
		this.#build();
		this.window.show(this.#view, this.#view.position(n), Math.round(Math.max(context, offset)));
	}

	setCurrent(n) {
		this.#current = n;
		this.dress();
	}

	// go brings line n into sight: a third down, or not at all if it is there already.
	go(n, lazy = false) {
		if (this.total === 0) return;
		n = Math.min(n, this.total);
		if (!this.filtered && this.folds.reveal(n)) {
			this.#build();
			this.onFold();
		}
		const row = lazy ? this.window.row(n) : undefined;
		const offset = row ? this.window.offset(row) : -1;
		if (offset >= 0 && offset + row.offsetHeight <= this.window.height) this.dress();
		else this.window.show(this.#view, this.#view.position(n), Math.round(this.window.height / 3));
	}

	goTop() {
		this.window.show(this.#view, 0);
	}

	goEnd() {
		this.window.showEnd(this.#view);
	}

	#goPart(part) {
		const { top, bottom } = this.window.seen();
		const room = Math.max(0, this.#view.count - (bottom - top));
		if (part >= 1) this.goEnd();
		else this.window.show(this.#view, Math.round(part * room));
	}

	select(range) {
		this.selected = range;
		this.dress();
	}

	fold(n) {
		const row = this.window.row(n);
		const offset = row ? this.window.offset(row) : 0;
		this.folds.toggle(n);
		this.#build();
		this.window.show(this.#view, this.#view.position(n), offset);
		this.window.row(n)?.querySelector(".fold")?.focus({ preventScroll: true });
		this.onFold();
	}

	foldAll(folded) {
		const stood = this.#standing();
		this.folds.all(folded);
		this.#build();
		this.#stand(stood);
		this.onFold();
	}

	#fill(row) {
		const line = this.lines.get(lineOf(row));
		if (line) fillRow(row, line, this.#suspects);
		this.#dress(row);
	}

	#dress(row) {
		const n = lineOf(row);
		dressRow(row, {
			selected: this.selected !== null && n >= this.selected.from && n <= this.selected.to,
			current: n === this.#current,
			fold: this.filtered ? undefined : this.folds.at(n),
		});
	}

	dress() {
		for (const row of this.window.rows()) this.#dress(row);
	}

	#filled() {
		this.window.notice();
		for (const row of this.window.rows()) if (row.classList.contains("blank")) this.#fill(row);
		this.window.changed();
	}

	#moved() {
		this.rail.set(this.#view, this.window.seen());
		const blank = this.window.blank();
		this.lines.want(blank.concat(this.window.near(near)));
		this.onMove();
	}

	async #clicked(e) {
		const row = e.target.closest(".row");
		if (!row) return;
		const n = lineOf(row);
		if (e.target.closest(".fold")) this.fold(n);
		else if (e.target.closest(".more")) {
			const line = await this.lines.one(n).catch(() => undefined);
			if (line) unfoldText(row, line);
			this.#dress(row);
			this.window.changed();
			this.scroller.focus({ preventScroll: true }); // the button is gone
		} else if (e.target.closest(".no") && !e.ctrlKey && !e.metaKey) {
			e.preventDefault();
			this.onPick(n, e.shiftKey);
		} else if (row.classList.contains("header") && document.getSelection().isCollapsed && this.folds.at(n) && !this.filtered) this.fold(n);
	}

	// selectAll selects the whole log, of which only a part is in the page.
	selectAll() {
		document.getSelection().selectAllChildren(this.rows);
		this.#everything = true;
	}

	#copied(e) {
		if (document.activeElement?.matches("input, textarea")) return;
		if (this.#everything) {
			e.preventDefault();
			this.onCopyAll();
			return;
		}
		const text = selectedText(this.rows, (n) => this.lines.get(n));
		if (text === null) return;
		e.clipboardData.setData("text/plain", text);
		e.preventDefault();
	}
}
