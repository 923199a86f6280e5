package gitlabsim

// samples are the jobs whose traces can be had.
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
	{kind: "long", image: "node:24", script: longScript()},
	{kind: "hostile", image: "node:24", end: "ERROR: Job failed: exit code 1", script: hostileScript()},
	{kind: "big", image: "debian:13", end: "ERROR: Job failed: exit code 1", script: bigScript},
	{kind: kindCanceled, end: "ERROR: Job failed: canceled"},
}
