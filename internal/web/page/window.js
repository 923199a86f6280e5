// The rows that are in the page: a few screens around the reader, in normal flow so that
// they can be of any height. They are added and taken away at both ends while one scrolls.
//
// The position is a mark: a row and how far its top is below the top of the screen, or
// the end. Whatever happens to the rows, the mark is put back where it was before the
// browser paints, so nothing jumps. Only the reader moves the mark.
import { clamp } from "./text.js";
import { makeRow, lineOf } from "./row.js";

const batch = 60; // rows added at once
const ahead = 2; // screens that are there beyond each edge
const behind = 5; // screens beyond which rows are taken away
const leap = 300; // rows that are added below one who follows; more are left out
const mostRows = 1500; // then they are taken away at once
const end = Symbol("end");

export class Window {
	#scroller;
	#rows;
	#first = 0; // positions of the rows: first up to, not including, last
	#last = 0;
	#mark = { position: 0, offset: 0 };
	#set = 0; // the scroll position that we have set
	#idle = 0;
	#wide = 0;
	view = { count: 0 };
	sticky = false; // at the end means: stay at the end

	// fill(row) is called for each new row, onMove() when other rows are to be seen.
	constructor(scroller, rows, { fill, onMove }) {
		this.#scroller = scroller;
		this.#rows = rows;
		this.fill = fill;
		this.onMove = onMove;
		scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
		new ResizeObserver(() => this.changed()).observe(scroller);
	}

	// show puts the position at the offset, in pixels below the top of the screen.
	show(view, position, offset = 0) {
		this.view = view;
		this.#first = this.#last = clamp(position, 0, Math.max(0, view.count - 1));
		this.#rows.replaceChildren();
		this.#mark = { position: this.#first, offset };
		this.#extend();
		this.onMove();
	}

	showEnd(view) {
		this.view = view;
		this.#rows.replaceChildren();
		this.#first = this.#last = view.count;
		this.#mark = end;
		this.#extend();
		this.onMove();
	}

	// grown takes a view that has more at its end, and is otherwise the same.
	grown(view) {
		this.notice(); // or who has just left the end would be taken back there
		if (this.#mark === end && view.count - this.#last > leap) {
			this.showEnd(view); // the rows between are far above the screen already
			return;
		}
		this.view = view;
		this.#extend();
		this.#trim(false);
		this.onMove();
	}

	// changed keeps the position after rows may have got other heights.
	changed() {
		this.#extend();
		this.onMove();
	}

	// rewrapped is changed, and the width of what was once seen is forgotten.
	rewrapped() {
		this.#wide = 0;
		this.#rows.style.minWidth = "";
		this.changed();
	}

	get atEnd() {
		const s = this.#scroller;
		return this.#last >= this.view.count && s.scrollHeight - s.clientHeight - s.scrollTop < 2;
	}

	get following() {
		return this.sticky && this.#mark === end;
	}

	rows() {
		return this.#rows.children;
	}

	row(n) {
		const position = this.view.has(n) ? this.view.position(n) : -1;
		return position >= this.#first && position < this.#last ? this.#rows.children[position - this.#first] : undefined;
	}

	// seen returns the positions at the top and, not included, at the bottom of the screen.
	seen() {
		if (this.#first === this.#last) return { top: 0, bottom: 0 };
		const box = this.#scroller.getBoundingClientRect();
		const top = this.#rowAt(box.top + 1), bottom = this.#rowAt(box.top + this.#scroller.clientHeight - 1);
		return { top: this.#first + top, bottom: this.#first + bottom + 1 };
	}

	// offset returns where a row is, in pixels below the top of the screen.
	offset(row) {
		return row.getBoundingClientRect().top - this.#scroller.getBoundingClientRect().top;
	}

	get height() {
		return this.#scroller.clientHeight;
	}

	scrollBy(pixels) {
		this.#scroller.scrollTop += pixels;
		this.#scrolled();
	}

	// #rowAt returns the index of the row at a height of the browser's window.
	#rowAt(y) {
		const rows = this.#rows.children;
		let low = 0, high = rows.length - 1;
		while (low < high) {
			const middle = (low + high) >>> 1;
			if (rows[middle].getBoundingClientRect().bottom > y) high = middle;
			else low = middle + 1;
		}
		return low;
	}

	#scrolled() {
		this.notice();
		this.#extend();
		if (this.#rows.childElementCount > mostRows) this.#trim(true);
		clearTimeout(this.#idle);
		this.#idle = setTimeout(() => this.#trim(false), 150);
		this.onMove();
	}

	// notice sees whether the reader has moved; the browser tells of it only with its next frame.
	notice() {
		if (Math.abs(this.#scroller.scrollTop - this.#set) < 1) return;
		this.#set = this.#scroller.scrollTop;
		this.#look();
	}

	// #look sets the mark where the reader has gone.
	#look() {
		if (this.#first === this.#last) return;
		if (this.sticky && this.atEnd) {
			this.#mark = end;
			return;
		}
		const index = this.#rowAt(this.#scroller.getBoundingClientRect().top + 1);
		this.#mark = { position: this.#first + index, offset: this.offset(this.#rows.children[index]) };
	}

	#restore() {
		const s = this.#scroller;
		if (this.#mark === end) s.scrollTop = s.scrollHeight;
		else {
			const row = this.#rows.children[this.#mark.position - this.#first];
			const away = row ? this.offset(row) - this.#mark.offset : 0;
			if (Math.abs(away) > 0.5) s.scrollTop += away;
		}
		this.#set = s.scrollTop;
	}

	#extend() {
		this.#restore();
		const s = this.#scroller;
		const margin = ahead * s.clientHeight;
		for (;;) {
			const up = this.#first > 0 && s.scrollTop < margin;
			const down = this.#last < this.view.count && s.scrollHeight - s.clientHeight - s.scrollTop < margin;
			if (!up && !down) break;
			if (down) this.#add(this.#last, Math.min(this.view.count, this.#last + batch), false);
			if (up) this.#add(Math.max(0, this.#first - batch), this.#first, true);
			this.#restore();
		}
		// A long line that goes must not take the reader's place to the side with it.
		if (this.#rows.scrollWidth > this.#wide) {
			this.#wide = this.#rows.scrollWidth;
			if (this.#wide > s.clientWidth) this.#rows.style.minWidth = "max(100%, " + this.#wide + "px)";
		}
	}

	#add(from, to, before) {
		const some = document.createDocumentFragment();
		for (let position = from; position < to; position++) {
			const row = makeRow(this.view.line(position));
			this.fill(row);
			some.append(row);
		}
		if (before) {
			this.#rows.prepend(some);
			this.#first = from;
		} else {
			this.#rows.append(some);
			this.#last = to;
		}
	}

	// #trim takes away the rows that are far from the screen. While text is selected it
	// waits: the browser would forget the selection.
	#trim(must) {
		if (!must && this.#rows.childElementCount < 2 * batch) return;
		const selection = document.getSelection();
		if (!selection.isCollapsed && this.#rows.contains(selection.anchorNode) && this.#rows.childElementCount < 4 * mostRows) return;
		const box = this.#scroller.getBoundingClientRect();
		const far = behind * this.#scroller.clientHeight;
		const top = this.#rowAt(box.top - far);
		const bottom = this.#rowAt(box.bottom + far) + 1;
		const rows = this.#rows.children;
		const range = document.createRange();
		if (bottom < rows.length) {
			range.setStart(this.#rows, bottom);
			range.setEnd(this.#rows, rows.length);
			this.#last = this.#first + bottom;
			range.deleteContents();
		}
		if (top > 0) {
			range.setStart(this.#rows, 0);
			range.setEnd(this.#rows, top);
			this.#first += top;
			range.deleteContents();
		}
		this.#restore();
	}

	// blank returns the numbers of the lines that are missing, those on the screen first.
	blank() {
		const { top } = this.seen();
		const missing = [];
		const rows = [...this.#rows.children];
		const at = top - this.#first;
		for (const row of [...rows.slice(at), ...rows.slice(0, at).reverse()]) {
			if (row.classList.contains("blank")) missing.push(lineOf(row));
		}
		return missing;
	}

	// near returns up to n numbers of lines on each side beyond the rows that are there.
	near(n) {
		const numbers = [];
		for (let p = this.#last; p < Math.min(this.view.count, this.#last + n); p++) numbers.push(this.view.line(p));
		for (let p = this.#first - 1; p >= Math.max(0, this.#first - n); p--) numbers.push(this.view.line(p));
		return numbers;
	}
}
