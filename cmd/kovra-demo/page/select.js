// Lists to choose from: selects with type-ahead, and overflow menus.
import { html, cx, useState, useRef, useEffect, useLayoutEffect } from "./view.js";
import { words } from "./mrkdwn.js";
import { Glyph } from "./icons.js";

const patience = 180; // milliseconds after the last key

// useDrop keeps a floating list beside its button, and closes it when somebody looks elsewhere.
function useDrop(open, close) {
	const box = useRef(null);
	const list = useRef(null);
	const place = () => {
		if (!list.current) return;
		const at = box.current.getBoundingClientRect();
		const style = list.current.style;
		const below = innerHeight - at.bottom - 12;
		const up = below < 200 && at.top > below;
		style.minWidth = Math.max(at.width, 180) + "px";
		style.maxHeight = Math.min(Math.max(up ? at.top - 12 : below, 120), 320) + "px";
		const left = list.current.role === "menu" && at.left > innerWidth / 2 ? at.right - list.current.offsetWidth : at.left;
		style.left = Math.max(Math.min(left, innerWidth - list.current.offsetWidth - 8), 8) + "px";
		style.top = up ? "auto" : at.bottom + 4 + "px";
		style.bottom = up ? innerHeight - at.top + 4 + "px" : "auto";
	};
	useLayoutEffect(() => { if (open) place(); });
	useEffect(() => {
		if (!open) return undefined;
		const outside = (e) => { if (!box.current?.contains(e.target)) close(); };
		addEventListener("pointerdown", outside, true);
		const scrolled = (e) => { if (!list.current?.contains(e.target)) place(); };
		addEventListener("resize", close);
		addEventListener("scroll", scrolled, true);
		return () => {
			removeEventListener("scroll", scrolled, true);
			removeEventListener("pointerdown", outside, true);
			removeEventListener("resize", close);
		};
	}, [open]);
	return [box, list];
}

// Select is a button that opens a list with a search field.
export function Select({ common, several, placeholder, value, chosen, onChange, offer, labelled }) {
	const [open, setOpen] = useState(false);
	const [query, setQuery] = useState("");
	const [found, setFound] = useState({ list: [], note: "" });
	const [at, setAt] = useState(0);
	const [texts] = useState(() => new Map()); // of what was chosen, by value
	const button = useRef(null);
	const left = useRef(0); // when a key closed the list: the same key must not press the button
	const close = () => { setOpen(false); setQuery(""); };
	const [box, list] = useDrop(open, close);
	(chosen || []).forEach((o) => texts.set(o.value, o.text?.text ?? o.text));
	const picked = value ? value.split("\n") : [];

	useEffect(() => {
		if (!open) return undefined;
		if (query.length < offer.least) {
			setFound({ list: [], note: offer.least === 1 ? "Type to search" : `Type ${offer.least} letters to search` });
			return undefined;
		}
		let current = true;
		const timer = setTimeout(async () => {
			const answer = await offer.find(query);
			if (!current) return;
			setAt(Math.max(query || answer.error ? 0 : answer.findIndex((o) => picked.includes(o.value)), 0));
			setFound(answer.error ? { list: [], note: answer.error } : { list: answer, note: answer.length ? "" : "Nothing matches" });
		}, query ? patience : 0);
		return () => { current = false; clearTimeout(timer); };
	}, [open, query]);

	const choose = (o) => {
		texts.set(o.value, o.text);
		if (several) {
			onChange((picked.includes(o.value) ? picked.filter((v) => v !== o.value) : [...picked, o.value]).join("\n"));
			return;
		}
		onChange(o.value);
		close();
		button.current?.focus();
	};
	const keys = (e) => {
		left.current = e.timeStamp;
		const move = { ArrowDown: 1, ArrowUp: -1 }[e.key];
		if (move && found.list.length) {
			e.preventDefault();
			setAt((at + move + found.list.length) % found.list.length);
		} else if (e.key === "Enter") {
			e.preventDefault();
			if (found.list[at]) choose(found.list[at]);
		} else if (e.key === "Escape") {
			e.preventDefault();
			e.stopPropagation();
			close();
			button.current?.focus();
		} else if (e.key === "Tab") {
			close();
		}
	};
	const shown = picked.map((v) => texts.get(v) || v).join(", ");
	const name = common.id || common["data-action"];
	return html`<div class="select" ref=${box}>
		<button type="button" class="choice" ref=${button} ...${common} aria-haspopup="listbox" aria-expanded=${open ? "true" : "false"}
			aria-labelledby=${labelled && `${labelled} ${common.id}`} onClick=${(e) => (open ? close() : e.timeStamp - left.current > 300 && setOpen(true))}>
			<span class=${cx(!shown && "quiet")}>${shown ? words(shown) : placeholder || "Choose"}</span><${Glyph} name="caret" /></button>
		${open && html`<div class="drop" ref=${list}>
			<input type="text" role="combobox" aria-expanded="true" aria-controls=${name + "-list"} aria-label="Search" data-test="search" autocomplete="off" spellcheck="false"
				aria-activedescendant=${found.list[at] && `${name}-${at}`} placeholder="Search" value=${query} onInput=${(e) => setQuery(e.currentTarget.value)} onKeyDown=${keys}
				ref=${(el) => el && el !== document.activeElement && !el.dataset.met && (el.dataset.met = "1") && el.focus({ preventScroll: true })} />
			<ul role="listbox" id=${name + "-list"} aria-multiselectable=${several ? "true" : undefined}>
				${found.list.map((o, i) => html`${o.group && o.group !== found.list[i - 1]?.group && html`<li class="group" role="presentation">${o.group}</li>`}
					<li key=${o.value} id=${`${name}-${i}`} role="option" data-test="option" aria-selected=${picked.includes(o.value) ? "true" : "false"} class=${cx(i === at && "at")}
						onPointerEnter=${() => setAt(i)} onClick=${() => choose(o)} ref=${(el) => el && i === at && el.scrollIntoView({ block: "nearest" })}>
						${words(o.text)}${picked.includes(o.value) && html`<${Glyph} name="check" />`}</li>`)}
			</ul>
			${found.note && html`<p class="quiet note">${found.note}</p>`}
		</div>`}
	</div>`;
}

// Menu is a button of three dots that opens a few actions. The arrow keys go through them.
export function Menu({ label, options, onChoose, look = "button", test = "overflow", children = "…" }) {
	const [open, setOpen] = useState(false);
	const button = useRef(null);
	const close = () => setOpen(false);
	const [box, list] = useDrop(open, close);
	useLayoutEffect(() => { if (open) list.current?.querySelector("button")?.focus({ preventScroll: true }); }, [open]);
	const keys = (e) => {
		if (!open) return;
		const move = { ArrowDown: 1, ArrowUp: -1 }[e.key];
		const items = [...list.current.querySelectorAll("button")];
		if (e.key === "Escape") {
			e.preventDefault();
			e.stopPropagation();
			close();
			button.current.focus();
		} else if (e.key === "Tab") {
			close();
			button.current.focus();
		} else if (move) {
			e.preventDefault();
			items[(items.indexOf(document.activeElement) + move + items.length) % items.length].focus();
		}
	};
	const choose = (o) => {
		close();
		button.current.focus({ preventScroll: true });
		onChoose(o);
	};
	return html`<div class="select menu" ref=${box} onKeyDown=${keys}>
		<button type="button" class=${look} ref=${button} data-test=${test} aria-label=${label} title=${test === "overflow" ? undefined : label} aria-haspopup="menu" aria-expanded=${open ? "true" : "false"} onClick=${() => setOpen(!open)}>${children}</button>
		${open && html`<div class="drop" ref=${list} role="menu" aria-label=${label}>${options.map((o) => html`<button type="button" role="menuitem" tabindex="-1" data-test="option"
			onClick=${() => choose(o)}>${words(o.text.text)}</button>`)}</div>`}
	</div>`;
}
