// The libraries of the page, under one roof, and the little things that every part needs.
import { h, render, Fragment } from "./lib/preact.js";
import { useEffect, useLayoutEffect, useMemo, useRef, useState, useCallback } from "./lib/hooks.js";
import htm from "./lib/htm.js";

export const html = htm.bind(h);
export { render, Fragment, useEffect, useLayoutEffect, useMemo, useRef, useState, useCallback };

// cx joins the class names that are not empty.
export const cx = (...names) => names.filter(Boolean).join(" ");

// post sends one action. It gives the answer, or one with an error in it; it never throws.
export async function post(path, body) {
	try {
		const res = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
		const answer = await res.json();
		return res.ok ? answer : { error: answer.error || res.statusText, status: res.status };
	} catch {
		return { error: "The demo does not answer. Is it still running?" };
	}
}

// useMedia tells whether a media query holds, and again when that changes.
export function useMedia(query) {
	const list = useMemo(() => matchMedia(query), [query]);
	const [holds, set] = useState(list.matches);
	useEffect(() => {
		const onChange = () => set(list.matches);
		onChange(); // it may have changed before anybody listened
		list.addEventListener("change", onChange);
		return () => list.removeEventListener("change", onChange);
	}, [list]);
	return holds;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

// timeOf shows the time of day of a message.
export const timeOf = (ts) => clock.format(new Date(parseFloat(ts) * 1000));
