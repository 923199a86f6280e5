package gitlabsim

import (
	"fmt"
	"strings"
)

// bigScript replays a million requests.
const bigScript = `
$ ./replay --target https://staging.shop.example --requests recorded/2026-11-19.ndjson.zst --workers 32 --compare-bodies
replay 2.4.1, 32 workers, bodies are compared
recorded/2026-11-19.ndjson.zst: 1000000 requests of 24 h
@bulk
1000000 requests in 9 m 41 s: 999999 as recorded, 1 differs
` + red + `FAIL` + reset + `: the answer to request #0733119 differs from the recorded one
`

// suite is one file of acceptance tests.
type suite struct {
	name  string
	tests []string
	noise string // what the browser says on standard error
}

var suites = []suite{
	{"catalog", []string{
		"shows all items", "sorts by name", "sorts by price", "filters by size", "filters by colour", "finds an item by its number",
		"finds nothing and says so", "loads the next page when scrolled", "keeps the filter in the address", "shows when an item is sold out",
	}, "browser: Failed to load resource: the server responded with a status of 404 (/img/placeholder-2x.webp)"},
	{"cart", []string{
		"adds an item", "adds the same item twice", "removes an item", "keeps its items over a reload", "merges with the cart of the account",
		"refuses more than there is in stock", "shows the shipping costs", "applies a voucher", "refuses a voucher that is over", "empties after the order",
	}, "browser: [Deprecation] Synchronous XMLHttpRequest on the main thread is deprecated"},
	{"checkout", []string{
		"asks for the address last", "remembers the address", "refuses an empty postcode", "pays by card", "pays by invoice", "shows a declined card",
		"survives a lost connection while paying", "sends the confirmation", "does not order twice on a double click", "works without JavaScript",
	}, "browser: Third-party cookie will be blocked in future versions (pay.example)"},
	{"account", []string{
		"signs in", "signs in with a passkey", "signs out everywhere", "changes the password", "lists past orders", "downloads an invoice",
		"deletes the account", "asks again before it deletes the account",
	}, "(node:41) Warning: An error event has already been emitted on the socket. Please destroy the socket on the server after emitting it"},
	{"search", []string{
		"suggests while typing", "forgives a typo", "finds umlauts", "finds Größe by grosse", "understands 日本語", "marks what matches",
		"is quick with 40,000 items", "says when the index is stale",
	}, "browser: A preload for '/fonts/inter.woff2' is found, but is not used because the request credentials mode does not match"},
}

// longScript are acceptance tests in a browser: some hundred lines in sections of their own, which take a while.
func longScript() string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	installs(p)
	compiles(p)
	starts(p)
	p("$ npx playwright test --reporter=list")
	p("")
	total := 0
	p("@section acceptance Acceptance tests, chromium")
	for i, s := range suites {
		p("@section %s %stests/%s.spec.ts%s", s.name, bold, s.name, reset)
		for k, test := range s.tests {
			total++
			p("  %s✓%s  %2d %s › %s \x1b[2m(%s)%s", "\x1b[32m", reset, total, s.name, test, took(i*31+k*17), reset)
			if k == len(s.tests)/2 {
				p("2> %s", s.noise)
			}
		}
		p("@end %s", s.name)
	}
	p("@end acceptance")
	p("")
	p("  %s%d passed%s (38.6s)", "\x1b[32m", total, reset)
	reports(p)
	return b.String()
}

// took is a time that a test takes.
func took(seed int) string {
	ms := 180 + int(scatter(uint64(seed))%1900)
	if ms < 1000 {
		return fmt.Sprintf("%dms", ms)
	}
	return fmt.Sprintf("%.1fs", float64(ms)/1000)
}

func installs(p func(string, ...any)) {
	p("@section dependencies[collapsed=true] Installing what the tests need")
	p("$ npm ci --no-audit --no-fund")
	p("2> npm warn deprecated inflight@1.0.6: This module is not supported, and leaks memory. Do not use it.")
	p("2> npm warn deprecated glob@7.2.3: Glob versions prior to v9 are no longer supported")
	p("added 641 packages in 11s")
	p("$ npx playwright install --with-deps chromium")
	p("Downloading Chromium 141.0.7390.37 (playwright build v1194)")
	var bar strings.Builder
	for done := 0; done <= 100; done += 5 {
		if done > 0 {
			bar.WriteString("\r")
		}
		fmt.Fprintf(&bar, "|%-40s| %3d%% of 173.7 MiB", strings.Repeat("■", done*40/100), done)
	}
	p("2> %s", bar.String())
	p("Chromium 141.0.7390.37 (playwright build v1194) downloaded to /root/.cache/ms-playwright/chromium-1194")
	p("@end dependencies")
}

func compiles(p func(string, ...any)) {
	p("@section compile Building the shop")
	p("$ npm run build")
	p("")
	p("> storefront@3.18.0 build")
	p("> tsc --noEmit && vite build")
	p("")
	p("\x1b[36mvite v7.1.9 \x1b[32mbuilding for production...%s", reset)
	var counted strings.Builder
	for i, name := range []string{"index.html", "src/main.ts", "src/cart/total.ts", "src/catalog/Grid.tsx", "src/checkout/Steps.tsx", "src/icons/all.ts", "src/search/index.ts"} {
		if i > 0 {
			counted.WriteString("\r")
		}
		fmt.Fprintf(&counted, "transforming (%d) \x1b[2m%s%s\x1b[K", 12+i*263, name, reset)
	}
	p("%s", counted.String())
	p("\x1b[32m✓%s 1842 modules transformed.", reset)
	for _, f := range []struct {
		name string
		kb   float64
	}{{"index.html", 1.24}, {"assets/index-Bx3kQ9.css", 48.11}, {"assets/checkout-DqP2.js", 83.40}, {"assets/search-C1mZ.js", 121.96}, {"assets/index-9fKd.js", 412.07}} {
		p("\x1b[2mdist/%s\x1b[36m%-28s\x1b[0;1m%8.2f kB%s \x1b[2m│ gzip: %7.2f kB%s", reset, f.name, f.kb, reset, f.kb/3.1, reset)
	}
	p("2> \x1b[33m(!) Some chunks are larger than 400 kB after minification.%s", reset)
	p("\x1b[32m✓ built in 8.31s%s", reset)
	p("@end compile")
}

func starts(p func(string, ...any)) {
	p("@section services[collapsed=true] Starting the shop")
	p("$ docker compose up --detach --wait")
	for _, name := range []string{"postgres", "valkey", "mailbox", "shop"} {
		p("2>  Container acceptance-%s-1  Creating", name)
	}
	for _, name := range []string{"postgres", "valkey", "mailbox", "shop"} {
		p("2>  Container acceptance-%s-1  \x1b[32mHealthy%s", name, reset)
	}
	p("$ npm run migrate")
	for i, name := range []string{"accounts", "catalog", "carts", "orders", "vouchers", "refunds", "search index"} {
		p("%04d %s ... ok", i+1, name)
		if name == "vouchers" {
			p(`2> NOTICE:  relation "vouchers_old" does not exist, skipping`)
		}
	}
	p("$ npm run seed -- --items 40000")
	var bar strings.Builder
	for n := 4000; n <= 40000; n += 4000 {
		if n > 4000 {
			bar.WriteString("\r")
		}
		fmt.Fprintf(&bar, "%d of 40000 items", n)
	}
	p("%s", bar.String())
	p("@end services")
}

func reports(p func(string, ...any)) {
	p("@section report Reports")
	p("$ npx playwright merge-reports --reporter=html ./blob-report")
	p("  46 tests, 5 files, 0 flaky")
	p("$ node scripts/budget.mjs")
	p("first paint      \x1b[32m 0.9 s%s  of 1.5 s", reset)
	p("interactive      \x1b[33m 2.4 s%s  of 2.5 s", reset)
	p("2> budget: \"interactive\" is within 5 % of its limit")
	p("@end report")
}
