// The search box and what is around it. What a search finds is kept by Search; here is what
// the reader types, presses and is told.
import { Search } from "./search.js";
import { number, plural } from "./text.js";

const debounce = 150; // ms after the last key
const quiet = 700; // ms between two announcements

export class Finder {
	#timer = 0;
	#sayTimer = 0;
	#before = null; // where the reader was before searching
	only = true;

	// parts are the elements: box, regex, case, only, count, error, prev, next, clear, bar, say.
	constructor(api, log, parts) {
		this.log = log;
		this.parts = parts;
		this.search = new Search(api, { onChange: (fresh) => this.#changed(fresh) });
		parts.box.addEventListener("input", () => this.#later(debounce));
		parts.box.addEventListener("keydown", (e) => this.#key(e));
		for (const name of ["regex", "case"]) {
			parts[name].addEventListener("click", () => {
				flip(parts[name]);
				this.#later(0);
			});
		}
		parts.only.addEventListener("click", () => this.setOnly(!this.only));
		parts.prev.addEventListener("click", () => this.step(-1));
		parts.next.addEventListener("click", () => this.step(1));
		parts.clear.addEventListener("click", () => {
			this.clear();
			parts.box.focus();
		});
	}

	get active() {
		return this.parts.box.value !== "";
	}

	focus() {
		this.parts.box.focus();
		this.parts.box.select();
	}

	// clear ends the search and goes back to where the reader was.
	clear() {
		clearTimeout(this.#timer);
		this.#timer = 0;
		this.parts.box.value = "";
		this.search.clear();
		this.log.setCurrent(0);
		if (this.#before) this.log.stand(this.#before);
		this.#before = null;
		this.#show();
	}

	grow(total) {
		this.search.grow(total);
	}

	step(direction) {
		const { view, window } = this.log;
		if (this.search.stored === 0) return;
		const n = this.search.step(direction, view.count > 0 ? view.line(window.seen().top) : 1);
		this.log.setCurrent(n);
		this.log.go(n, true);
		this.#show();
	}

	// setOnly changes between the matches alone and the whole log, around line n, or else
	// around the match one is at, or else around what is at the top.
	setOnly(only, n = 0) {
		const { view, window } = this.log;
		if (only === this.only) return;
		this.only = only;
		n ||= this.search.numbers[this.search.current] || (view.count > 0 ? view.line(window.seen().top) : 1);
		this.parts.only.setAttribute("aria-pressed", String(only));
		if (!this.search.query) return;
		this.search.setCurrent(n);
		this.log.setOnly(only, n);
		this.log.setCurrent(this.search.current < 0 ? 0 : n);
		this.#show();
	}

	// moved tells that the reader went to a line by another way than a search.
	moved() {
		this.#before = null;
	}

	#key(e) {
		if (e.key === "Enter" && !e.isComposing) {
			e.preventDefault();
			if (this.#timer || this.search.error) this.#ask();
			else this.step(e.shiftKey ? -1 : 1);
		} else if (e.key === "Escape") {
			e.preventDefault();
			if (this.active) this.clear();
			else this.log.scroller.focus({ preventScroll: true });
		}
	}

	#later(ms) {
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => this.#ask(), ms);
		this.#show();
	}

	#ask() {
		clearTimeout(this.#timer);
		this.#timer = 0;
		const { box, regex, case: exact } = this.parts;
		if (box.value === "") {
			this.clear();
			return;
		}
		this.#before ??= this.log.standing;
		this.search.start({ q: box.value, regex: pressed(regex), case: pressed(exact) });
	}

	#changed(fresh) {
		const { query, numbers, stored } = this.search;
		if (fresh) this.log.setCurrent(0);
		this.log.find(query, numbers, stored, this.only, fresh);
		this.#show();
	}

	#words() {
		const { query, matches, stored, current, busy } = this.search;
		if (!query) return busy ? "counting…" : "";
		if (matches === 0) return busy ? "counting…" : "No matches";
		const many = current >= 0 ? number(current + 1) + " of " + number(matches) : plural(matches, "match", "matches");
		return many + (busy ? ", counting…" : matches > stored ? " (the first " + number(stored) + " can be stepped through)" : "");
	}

	#show() {
		const { count, error, box, bar, prev, next, clear, field } = this.parts;
		const words = this.active ? this.#words() : "";
		count.textContent = words;
		error.textContent = this.search.error;
		error.hidden = !this.search.error;
		box.setAttribute("aria-invalid", String(this.search.error !== ""));
		field.classList.toggle("wrong", this.search.error !== "");
		bar.classList.toggle("searching", this.active);
		clear.hidden = !this.active;
		prev.disabled = next.disabled = this.search.stored === 0;
		this.#say(this.search.error || words);
	}

	// #say tells a screen reader what has changed, not more often than it can be listened to.
	#say(words) {
		clearTimeout(this.#sayTimer);
		this.#sayTimer = setTimeout(() => {
			if (this.parts.say.textContent !== words) this.parts.say.textContent = words;
		}, quiet);
	}
}

const pressed = (button) => button.getAttribute("aria-pressed") === "true";

function flip(button) {
	button.setAttribute("aria-pressed", String(!pressed(button)));
}
