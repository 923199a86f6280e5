// The rail at the right: where in the whole log one is, and where the matches are. It
// stands in for the browser's scroll bar, which only knows the rows that are in the page.
import { clamp, number } from "./text.js";
import { matchesBetween } from "./view.js";

const smallestThumb = 32;
const step = 2; // pixels that one mark takes

export class Rail {
	#rail;
	#thumb;
	#canvas;
	#seen = { top: 0, bottom: 0 };
	#view = { count: 0 };
	#grip = null; // where in the thumb it is held, while dragging
	#frame = 0;
	#target = 0;
	#marks = null;

	// onGo(part) is called with 0 for the top up to 1 for the end; onKey gets the keys.
	constructor(rail, { onGo }) {
		this.#rail = rail;
		this.#thumb = rail.querySelector(".thumb");
		this.#canvas = rail.querySelector("canvas");
		this.onGo = onGo;
		rail.addEventListener("pointerdown", (e) => this.#down(e));
		rail.addEventListener("pointermove", (e) => this.#move(e));
		for (const over of ["pointerup", "pointercancel"]) rail.addEventListener(over, () => this.#up());
		new ResizeObserver(() => this.#draw()).observe(rail);
	}

	// set shows the position: seen are positions in the view.
	set(view, seen) {
		this.#view = view;
		this.#seen = seen;
		const all = view.count > 0 && seen.top === 0 && seen.bottom >= view.count;
		this.#rail.classList.toggle("idle", view.count === 0 || all);
		const line = view.count > 0 ? view.line(seen.top) : 0;
		this.#rail.setAttribute("aria-valuemin", view.count > 0 ? String(view.line(0)) : "0");
		this.#rail.setAttribute("aria-valuemax", view.count > 0 ? String(view.line(view.count - 1)) : "0");
		this.#rail.setAttribute("aria-valuenow", String(line));
		this.#rail.setAttribute("aria-valuetext", "Line " + number(line));
		this.#place();
	}

	// mark shows where the matches are, an object of numbers and count; null when there are
	// none to show.
	mark(view, matches) {
		if (!this.#marks && !matches) return;
		this.#view = view;
		this.#marks = matches;
		this.#draw();
	}

	#measure() {
		const height = this.#rail.clientHeight;
		const { top, bottom } = this.#seen;
		const count = Math.max(1, this.#view.count);
		const size = clamp(height * (bottom - top) / count, Math.min(smallestThumb, height), height);
		const room = Math.max(1, count - (bottom - top));
		return { height, size, y: (height - size) * clamp(top / room, 0, 1) };
	}

	#place() {
		const { size, y } = this.#measure();
		this.#thumb.style.height = size + "px";
		this.#thumb.style.transform = "translateY(" + (this.#grip === null ? y : this.#target * (this.#measure().height - size)) + "px)";
	}

	#down(e) {
		if (e.button !== 0) return;
		const { size, y } = this.#measure();
		const at = e.clientY - this.#rail.getBoundingClientRect().top;
		this.#grip = at >= y && at <= y + size ? at - y : size / 2;
		this.#rail.setPointerCapture(e.pointerId);
		this.#rail.classList.add("held");
		this.#move(e);
		e.preventDefault(); // or the drag would select text
		this.#rail.focus({ preventScroll: true });
	}

	#move(e) {
		if (this.#grip === null) return;
		const { height, size } = this.#measure();
		const at = e.clientY - this.#rail.getBoundingClientRect().top;
		this.#target = clamp((at - this.#grip) / Math.max(1, height - size), 0, 1);
		if (this.#frame) return;
		this.#frame = requestAnimationFrame(() => {
			this.#frame = 0;
			this.onGo(this.#target);
		});
	}

	#up() {
		this.#grip = null;
		this.#rail.classList.remove("held");
		this.#place();
	}

	// #draw asks for each step of the rail how many matches are in it: that costs the same
	// for a thousand matches and for a million. Where there are more the mark is stronger.
	#draw() {
		this.#place();
		const canvas = this.#canvas, count = this.#view.count;
		const scale = window.devicePixelRatio || 1;
		const width = canvas.clientWidth, height = canvas.clientHeight;
		canvas.width = Math.round(width * scale);
		canvas.height = Math.round(height * scale);
		if (!this.#marks || count === 0 || height === 0) return;
		const found = [];
		for (let y = 0; y < height; y += step) {
			const from = Math.floor(count * y / height);
			const to = Math.max(from + 1, Math.floor(count * (y + step) / height));
			const until = to < count ? this.#view.line(to) : Infinity;
			found.push(from < count ? matchesBetween(this.#marks.numbers, this.#marks.count, this.#view.line(from), until) : 0);
		}
		const most = Math.max(...found);
		const pen = canvas.getContext("2d");
		pen.scale(scale, scale);
		pen.fillStyle = getComputedStyle(canvas).color;
		for (const [i, matches] of found.entries()) {
			if (matches === 0) continue;
			pen.globalAlpha = 0.55 + 0.45 * matches / most;
			pen.fillRect(0, i * step, width, step);
		}
	}
}
