package gitlabsim

import (
	"fmt"
	"strings"
	"time"
)

// Timestamps added to a kind of SampleLog gives the same trace as runners since 18.7 write it: every line begins with its time and
// stream.
const Timestamps = "+timestamps"

// sampleStart is when all sample jobs ran.
var sampleStart = time.Date(2026, 11, 20, 9, 14, 3, 218_450_000, time.UTC)

// SampleKinds are the kinds that SampleLog knows.
var SampleKinds = []string{"go-test", "npm", "docker-build", "oom", "pytest", "ok"}

// SampleLog returns a whole trace in the format of GitLab's runner: preparation, the script, and the clean-up that follows also a
// failure. The kinds are in SampleKinds, all but "ok" fail; each may end with Timestamps. Other kinds give "".
func SampleLog(kind string) string {
	name, stamped := strings.CutSuffix(kind, Timestamps)
	for _, sample := range samples {
		if sample.kind == name {
			return sample.trace(stamped)
		}
	}
	return ""
}

// sample is one job: what its script printed, and how it ended. Lines of the script that begin with "$ " are echoed commands.
type sample struct {
	kind, image string
	script      string
	after       string // after_script
	artifacts   string // what upload_artifacts_on_failure printed
	end         string // last line; "" is success
}

const (
	reset  = "\x1b[0;m"
	bold   = "\x1b[0K"
	cyan   = "\x1b[36;1m"
	green  = "\x1b[32;1m"
	red    = "\x1b[31;1m"
	yellow = "\x1b[0;33m"
)

// tracer writes a trace line by line. Stream 00 is the runner, 01 the script.
type tracer struct {
	b       strings.Builder
	at      time.Time
	stamped bool
	joined  bool // the next line continues the one before
}

func (t *tracer) line(stream, text string) {
	if !t.stamped {
		t.b.WriteString(text + "\n")
		return
	}
	sign := " "
	if t.joined {
		sign, t.joined = "+", false
	}
	t.at = t.at.Add(1370 * time.Microsecond)
	t.b.WriteString(t.at.Format("2006-01-02T15:04:05.000000Z") + " " + stream + sign + text + "\n")
}

func (t *tracer) runner(text string) { t.line("00O", text) }

// script writes a line of the script. With timestamps every carriage return ends a physical line, and a + continues it.
func (t *tracer) script(text string) {
	if !t.stamped {
		t.line("01O", text)
		return
	}
	for i, part := range strings.SplitAfter(text, "\r") {
		t.joined = i > 0
		t.line("01O", part)
	}
	t.joined = false
}

// mark writes a section mark. Without timestamps it shares the line of what follows; with them it is a line of its own.
func (t *tracer) mark(kind, name string) {
	mark := fmt.Sprintf("section_%s:%d:%s\r", kind, t.at.Unix(), name)
	if !t.stamped {
		t.b.WriteString(mark + bold)
		return
	}
	t.line("00O", mark+bold)
	t.joined = true
}

func (t *tracer) section(name, header string, body func()) {
	t.mark("start", name)
	t.runner(bold + cyan + header + reset + reset)
	body()
	t.at = t.at.Add(2 * time.Second)
	t.mark("end", name)
}

func (t *tracer) text(block string) {
	for l := range strings.SplitSeq(strings.Trim(block, "\n"), "\n") {
		if strings.HasPrefix(l, "$ ") {
			l = green + l + reset
		}
		t.script(l)
	}
}

func (p sample) trace(stamped bool) string {
	t := &tracer{at: sampleStart, stamped: stamped}
	t.runner(bold + "Running with gitlab-runner 19.4.0 (8a7c2d19)" + reset)
	t.runner(bold + "  on linux-small-1 tQx3uVbYk, system ID: s_4d0f91c2a7be" + reset)
	t.section("prepare_executor", `Preparing the "docker" executor`, func() {
		t.runner(bold + "Using Docker executor with image " + p.image + " ..." + reset)
		t.runner(bold + "Using effective pull policy of [if-not-present] for container " + p.image + reset)
	})
	t.section("prepare_script", "Preparing environment", func() {
		t.script("Running on runner-tqx3uvbyk-project-17-concurrent-0 via linux-small-1...")
	})
	t.section("get_sources", "Getting source from Git repository", func() {
		t.script(green + "Fetching changes with git depth set to 20..." + reset)
		t.script("Initialized empty Git repository in /builds/group/web/.git/")
		t.script(green + "Created fresh repository." + reset)
		t.script(green + "Checking out 4f1c9a0e as detached HEAD (ref is main)..." + reset)
		t.script("Skipping Git submodules setup")
	})
	t.section("step_script", `Executing "step_script" stage of the job script`, func() {
		t.script(bold + "Using effective pull policy of [if-not-present] for container " + p.image + reset)
		t.text(p.script)
	})
	if p.after != "" {
		t.section("after_script", "Running after_script", func() {
			t.script(green + "Running after script..." + reset)
			t.text(p.after)
		})
	}
	if p.artifacts != "" {
		t.section("upload_artifacts_on_failure", "Uploading artifacts for failed job", func() {
			t.script(green + "Uploading artifacts..." + reset)
			t.text(p.artifacts)
		})
	}
	t.section("cleanup_file_variables", "Cleaning up project directory and file based variables", func() {})
	if p.end == "" {
		t.runner(bold + green + "Job succeeded" + reset)
		return t.b.String()
	}
	t.runner(bold + red + p.end)
	t.runner(reset)
	return t.b.String()
}

var samples = []sample{
	{kind: "go-test", image: "golang:1.26", end: "ERROR: Job failed: exit code 1", after: `
$ go clean -cache
`, artifacts: `
coverage.out: found 1 matching artifact files and directories
` + yellow + `WARNING: junit.xml: no matching files. Ensure that the artifact path is relative to the working directory` + reset + `
ERROR: No files to upload
`, script: `
$ go version
go version go1.26.1 linux/amd64
$ go test -race -coverprofile=coverage.out ./...
go: downloading github.com/google/go-cmp v0.7.0
ok  	shop.example/web/internal/catalog	1.204s	coverage: 81.3% of statements
--- FAIL: TestCartTotal (0.00s)
    --- FAIL: TestCartTotal/two_items_with_voucher (0.00s)
        cart_test.go:88: Total() = 1998, want 1798
            voucher SPRING10 was applied to one item only
FAIL
coverage: 74.9% of statements
FAIL	shop.example/web/internal/cart	0.412s
ok  	shop.example/web/internal/checkout	0.866s	coverage: 69.0% of statements
?   	shop.example/web/internal/version	[no test files]
FAIL
`},
	{kind: "npm", image: "node:24-alpine", end: "ERROR: Job failed: exit code 2", script: `
$ npm ci --no-audit
npm warn deprecated inflight@1.0.6: This module is not supported
added 812 packages in 14s
$ npm run build

> storefront@3.18.0 build
> tsc --noEmit && vite build

src/pages/Checkout.tsx(42,17): error TS2345: Argument of type 'string | undefined' is not assignable to parameter of type 'string'.
  Type 'undefined' is not assignable to type 'string'.
src/pages/Checkout.tsx(57,9): error TS2322: Type 'number' is not assignable to type 'Money'.
npm error Lifecycle script ` + "`build`" + ` failed with error:
npm error code 2
npm error path /builds/group/web
npm error workspace storefront@3.18.0
npm error location /builds/group/web
npm error command failed
npm error command sh -c tsc --noEmit && vite build
`},
	{kind: "docker-build", image: "docker:28", end: "ERROR: Job failed: exit code 1", after: `
$ docker logout "$CI_REGISTRY"
Removing login credentials for registry.example.com
`, script: `
$ echo "$CI_REGISTRY_PASSWORD" | docker login -u "$CI_REGISTRY_USER" --password-stdin "$CI_REGISTRY"
Login Succeeded
$ docker build --tag "$CI_REGISTRY_IMAGE:$CI_COMMIT_SHORT_SHA" .
#0 building with "default" instance using docker driver

#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 612B done
#1 DONE 0.0s

#4 [build 1/5] FROM docker.io/library/golang:1.26
#4 CACHED

#7 [build 4/5] COPY go.mod go.sum ./
#7 DONE 0.1s

#8 [build 5/5] RUN go build -o /out/web ./cmd/web
#8 11.42 # shop.example/web/cmd/web
#8 11.42 cmd/web/main.go:31:18: undefined: cart.NewTotals
#8 ERROR: process "/bin/sh -c go build -o /out/web ./cmd/web" did not complete successfully: exit code: 1
------
 > [build 5/5] RUN go build -o /out/web ./cmd/web:
11.42 # shop.example/web/cmd/web
11.42 cmd/web/main.go:31:18: undefined: cart.NewTotals
------
Dockerfile:14
--------------------
  12 |     COPY . .
  13 |     ENV CGO_ENABLED=0
  14 | >>> RUN go build -o /out/web ./cmd/web
  15 |
--------------------
ERROR: failed to build: failed to solve: process "/bin/sh -c go build -o /out/web ./cmd/web" did not complete successfully: exit code: 1
`},
	{kind: "oom", image: "node:24", end: "ERROR: Job failed: exit code 137", script: `
$ npm run build:production

> storefront@3.18.0 build:production
> node --max-old-space-size=4096 build.mjs

transforming (212) src/index.ts` + "\r" + `transforming (1840) src/pages/Catalog.tsx` + "\r" + `transforming (3127) src/icons/all.ts
rendering chunks...

<--- Last few GCs --->

[23:0x7f3a1c0]    61204 ms: Mark-Compact 2043.1 (2082.6) -> 2041.9 (2083.1) MB, pooled: 0 MB, 812.40 / 0.00 ms  (average mu = 0.081) allocation failure; scavenge might not succeed

/usr/bin/bash: line 141:    23 Killed                  npm run build:production
`},
	{kind: "pytest", image: "python:3.14", end: "ERROR: Job failed: exit code 1", artifacts: `
report.xml: found 1 matching artifact files and directories
Uploading artifacts as "junit" to coordinator... 201 Created  correlation_id=01JD3Q id=48120 responseStatus=201 Created token=64_[MASKED]
`, script: `
$ pip install -r requirements.txt --quiet
$ pytest --junitxml=report.xml -q
....................................F.......                             [100%]
=================================== FAILURES ===================================
______________________ test_refund_of_partial_payment ______________________

client = <FlaskClient <Flask 'billing'>>, order = Order(id=771, paid=Decimal('20.00'))

    def test_refund_of_partial_payment(client, order):
        response = client.post(f"/orders/{order.id}/refund", json={"amount": "5.00"})
>       assert response.status_code == 200
E       assert 500 == 200
E        +  where 500 = <WrapperTestResponse streamed [500 INTERNAL SERVER ERROR]>.status_code

tests/test_refunds.py:64: AssertionError
------------------------------ Captured log call -------------------------------
ERROR    billing.refunds:refunds.py:118 refund failed
Traceback (most recent call last):
  File "/builds/group/web/billing/refunds.py", line 112, in refund
    left = order.paid - order.refunded
TypeError: unsupported operand type(s) for -: 'decimal.Decimal' and 'NoneType'
=========================== short test summary info ============================
FAILED tests/test_refunds.py::test_refund_of_partial_payment - assert 500 == 200
1 failed, 43 passed in 6.21s
`},
	{kind: "ok", image: "golang:1.26", script: `
$ go vet ./...
$ go test ./...
ok  	shop.example/web/internal/cart	0.398s
ok  	shop.example/web/internal/catalog	1.187s
ok  	shop.example/web/internal/checkout	0.853s
`},
}
