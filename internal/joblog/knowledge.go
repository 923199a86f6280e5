package joblog

import "slices"

// numbered appends the digits 1 to 9 to each stem: ".go:" becomes ".go:1" and so on.
func numbered(stems ...string) []string { return followed("123456789", stems) }

// worded appends what words and paths most often begin with; more would slow the filter.
func worded(stems ...string) []string { return followed("acdefilmnprst/", stems) }

func followed(by string, stems []string) []string {
	var out []string
	for _, stem := range stems {
		for _, d := range by {
			out = append(out, stem+string(d))
		}
	}
	return out
}

// shellTrouble is what shells and system calls say.
const shellTrouble = `(?:not found|[Pp]ermission denied|No such file or directory|syntax error|unbound variable|bad substitution|Is a directory|Not a directory|Argument list too long|cannot execute|parameter (?:not set|null)|unexpected|[Nn]o space left|Exec format error|illegal option|invalid option|ambiguous redirect)`

var knownPatterns = slices.Concat(jobPatterns, controlPatterns, summaryPatterns, systemPatterns, languagePatterns, toolPatterns, generalPatterns)

// endWeight is more than matches can weigh, so that the end of a job is always seen.
const endWeight = 1000

// jobPatterns are lines with which jobs end.
var jobPatterns = []pattern{
	{name: "job failed", any: []string{"job failed"}, expr: `^ERROR: Job failed\b`, weight: endWeight, block: jobEnd},
	{name: "job succeeded", any: []string{"job succeeded"}, expr: `^Job succeeded\b`, weight: endWeight, block: jobPassed},
	{name: "log limit", any: []string{"exceeded limit of"}, expr: `^Job's log exceeded limit of \d+ bytes`, weight: endWeight, block: jobOver},
	{name: "workflow step", any: []string{"process completed with exit"}, expr: `^##\[error\]Process completed with exit code`, weight: endWeight, block: jobEnd},
	{name: "build exited", any: []string{"your build exited"}, expr: `^Done\. Your build exited with`, weight: endWeight, block: jobEnd},
}

// controlPatterns are no errors, but say what is one.
var controlPatterns = []pattern{
	{name: "ignored", any: []string{"...ignoring"}, expr: `^\.\.\.ignoring`, block: cancel},
	{name: "go test passed", any: []string{"--- pass: ", "--- skip: "}, expr: `^\s*--- (?:PASS|SKIP): \S+`, block: passed},
	{name: "flaky tests", any: []string{" flaky"}, expr: `^\s+\d+ flaky$`, block: acquit},
	{name: "captured output", any: []string{"stderr | ", "stdout | "}, expr: `^(?:stderr|stdout) \| \S`, block: hushText},
	{name: "pending", any: []string{"pending: (failures"}, expr: `^Pending: \(Failures`, block: hushDeeper},
	{name: "console of a test", any: []string{"console.", "console"}, expr: `^\s+(?:● Console|console\.(?:error|warn|log|info|debug))\s*$`, block: hushDeeper},
}

// summaryPatterns are what test runners and checkers say at their end.
var summaryPatterns = []pattern{
	{name: "jest summary", any: []string{"tests:", "test suites:", "test files", " tests "}, expr: `^(?:Tests:\s+.*\d+ failed|\s*(?:Test Files|Tests)\s+\d+ failed)`, weight: 66, sums: 1},
	{name: "pytest end", any: []string{" failed", " error"}, expr: `^(?:=+ )?(?:\d+ \w+, )*\d+ (?:failed|errors?)\b.* in [\d.]+`, weight: 66, sums: 1},
	{name: "maven tests", any: []string{"[error] tests run:"}, expr: `^\[ERROR\] Tests run: \d+, Failures: \d+, Errors: \d+, Skipped: \d+\s*$`, weight: 76, sums: 1},
	{name: "gradle tests", any: []string{" completed, "}, expr: `^\d+ tests? completed, [1-9]\d* failed`, weight: 66, sums: 1},
	{name: "examples", any: []string{"examples, ", "example, ", " runs, ", " tests, ", " test, ", "assertions"}, expr: `^\d+ (?:examples?|runs|tests?|doctests?|propert(?:y|ies)|features?|scenarios?).*, [1-9]\d* (?:failures?|errors?)\b|^Tests: \d+, Assertions: \d+.* (?:Failures|Errors): [1-9]`, weight: 66, sums: 1},
	{name: "dotnet tests", any: []string{"failed!  - failed", "failed! - failed"}, expr: `^Failed!\s+- Failed:`, weight: 66, sums: 1},
	{name: "rust tests", any: []string{"test result: failed"}, expr: `^test result: FAILED`, weight: 66, sums: 1},
	{name: "ctest end", any: []string{"tests passed, "}, expr: `^\d+% tests passed, [1-9]\d* tests? failed`, weight: 66, sums: 1},
	{name: "problems", any: []string{"problem", "found ", " issues"}, expr: `^\s*✖ \d+ problems?\b|^Found \d+ (?:errors?|problems?)\b|^\d+ issues:$`, weight: 66, sums: 1},
	{name: "reformatted", any: []string{"would be reformatted", "code style issues"}, expr: `\d+ files? would be reformatted|[Cc]ode style issues`, weight: 84, sums: 1, before: 4},
	{name: "ninja end", any: []string{"ninja: build stopped"}, expr: `^ninja: build stopped`, weight: 50, sums: 1},
	{name: "build solved", any: []string{"failed to solve", "returned a non-zero code", "error building", "building at step", "building image"}, expr: `failed to solve|returned a non-zero code|[Ee]rror building|building at STEP`, weight: 78, sums: 1, before: 5},
	{name: "dockerfile line", any: []string{"| >>> "}, expr: `^\s+\d+ \| >>> `, weight: 60, sums: 1},
	{name: "cmake end", any: []string{"configuring incomplete"}, expr: `^-- Configuring incomplete`, weight: 60, sums: 1},
	{name: "bazel end", any: []string{"build did not complete", "fail to build"}, expr: `^FAILED: Build did NOT complete|^Executed \d+ out of \d+ tests?: .*fail`, weight: 60, sums: 1},
	{name: "unittest end", any: []string{"failed (failures", "failed (errors"}, expr: `^FAILED \((?:failures|errors)=`, weight: 66, sums: 1},
	{name: "xcode end", any: []string{" tests, with "}, expr: `^\s*Executed \d+ tests?, with [1-9]\d* failure`, weight: 66, sums: 1},
	{name: "xcode result", any: []string{" failed **"}, expr: `^\*\* [A-Z ]+ FAILED \*\*`, weight: 60, sums: 1},
	{name: "cypress end", any: []string{" failed ("}, expr: `^\s*✖\s+\d+ of \d+ failed`, weight: 60, sums: 1},
	{name: "nx end", any: []string{" targets failed"}, expr: `^\s*✖\s+\d+/\d+ targets failed`, weight: 60, sums: 1},
	{name: "catch end", any: []string{"test cases:"}, expr: `^test cases: .* failed`, weight: 66, sums: 1},
	{name: "findings", any: []string{" offense", " issue", " warning", " violation", " vulnerabilit", "(critical: ", "(high: ", " error"}, expr: `(?i)^(?:\d+ \S+ inspected, |\d+ mods/funs, |Tested \d+ .*)?(?:found )?[1-9]\d* (?:(?:low|moderate|high|critical|severity) )*(?:offenses?|issues?|violations?|warnings?|vulnerabilit(?:y|ies)|errors?|problems?)\b(?: detected| found|, \d|\.?$)|^(?:\d+ \S+ inspected, |\d+ mods/funs, |Tested \d+ .*)found [1-9]|^Total: [1-9]\d* \(.*: [1-9]|^System check identified [1-9]`, weight: 66, sums: 1, before: 2},
	{name: "playwright end", any: []string{" failed"}, expr: `^\s+\d+ failed$`, weight: 66, sums: 1, block: following, after: 2},
	{name: "recap", any: []string{"failed=", "unreachable="}, expr: `^\S+\s+: ok=.*(?:failed|unreachable)=[1-9]`, weight: 66, sums: 1},
}

// knownHeadings name what is going on in the lines below them.
var knownHeadings = []heading{
	{name: "ansible task", any: []string{"task [", "running handler ["}, expr: `^(?:TASK|RUNNING HANDLER) \[`},
	{name: "buildkit step", any: []string{"] run ", "] copy ", "] add ", "] from ", "] workdir "}, expr: `^(#\d+) \[(?:\S+ )*\d+/\d+\] `},
	{name: "build step", any: []string{"step 1", "step 2", "step 3", "step 4", "step 5", "step 6", "step 7", "step 8", "step 9"}, expr: `^(?:STEP|Step) \d+/\d+ ?: `},
	{name: "kaniko step", any: []string{"] run ", "] copy "}, expr: `^INFO\[\d+\] (?:RUN|COPY|ADD) `},
	{name: "test file", any: []string{"fail  ", "fail "}, expr: `^\s*FAIL\s+\S+\.\w+`},
	{name: "pytest title", any: []string{"_____ "}, expr: `^_{3,} .* _{3,}$`},
	{name: "go test", any: []string{"=== run  ", "=== cont ", "=== name "}, expr: `^(===) (?:RUN|CONT|NAME) +\S`},
	{name: "ninja target", any: []string{"failed: "}, expr: `^FAILED: \S`},
	{name: "rollout", any: []string{"waiting for deployment", "waiting for daemon", "waiting for statefulset", "waiting for rollout"}, expr: `^Waiting for (?:deployment|daemon|statefulset|rollout)`},
}

// systemPatterns are what the machine, its memory, disk and network say.
var systemPatterns = []pattern{
	{name: "disk full", any: []string{"no space left", "disk quota exceeded", "enospc"}, expr: `(?i)no space left on device|disk quota exceeded|ENOSPC`, weight: 97, before: 2, after: 1},
	{
		name: "out of memory", any: []string{"out of memory", "oomkilled", "outofmemoryerror", "cannot allocate memory", "memory limit", "allowed memory size"},
		expr: `(?i)out of memory|OOMKilled|OutOfMemoryError|cannot allocate memory|memory limit exceeded|allowed memory size`, weight: 97, before: 2, after: 3,
	},
	{name: "killed", any: []string{"killed"}, expr: `^Killed\b|(?:: |\s)\d+ Killed\b|signal: killed|: Killed$`, weight: 97, before: 3, after: 1},
	{
		name: "crash", any: []string{"segmentation fault", "core dumped", "bus error", "illegal instruction", "aborted (", "stack smashing", "assertion"},
		expr: `(?i)segmentation fault|core dumped|\bbus error\b|illegal instruction|Aborted \(|stack smashing|\bassertion\b.*\bfailed`, weight: 95, before: 3, after: 2,
	},
	{name: "sanitizer", any: []string{"sanitizer", "runtime error:", "data race"}, expr: `(?:ERROR|WARNING): \w+Sanitizer|^\S+:\d+(?::\d+)?: runtime error: |^WARNING: DATA RACE`, weight: 96, block: following, after: 8},
	{
		name: "image pull", any: []string{"failed to pull image", "errimagepull", "imagepullbackoff", "manifest unknown", "pull access denied", "manifest for "},
		expr: `(?i)failed to pull image|ErrImagePull|ImagePullBackOff|manifest unknown|pull access denied|manifest for .* not found`, weight: 93, before: 1, after: 1,
	},
	{name: "docker daemon", any: []string{"docker daemon"}, expr: `(?i)cannot connect to the docker daemon|is the docker daemon running`, weight: 93, before: 1, after: 1},
	{name: "command not found", any: []string{"command not found"}, expr: `command not found`, weight: 92, before: 2, after: 1},
	{
		name: "shell", any: []string{"not found", "permission denied", "no such file", "syntax error", "unbound variable", "bad substitution", "a directory", "argument list", "cannot execute", "parameter ", "unexpected", "no space", "format error", "illegal option", "invalid option", "ambiguous redirect"},
		expr: `(?:^|[\s/])(?:ba|da|z|a|k)?sh: .*` + shellTrouble + `|\bline \d+: .*` + shellTrouble, weight: 92, before: 2, after: 1,
	},
	{name: "executable", any: []string{"executable file not found", "exec format error"}, expr: `(?i)executable file not found|exec format error`, weight: 92, before: 1, after: 1},
	{
		name: "undefined object", any: []string{"undefined secret", "undefined volume", "undefined network", "undefined config", "undefined service", "undefined variable"},
		expr: `\bundefined (?:secret|volume|network|config|service|variable)`, weight: 90, before: 2, after: 1,
	},
	{name: "push rejected", any: []string{"[rejected]", "[remote rejected]"}, expr: `! \[(?:remote )?rejected\]`, weight: 90, before: 1, after: 3},
	{name: "remote", any: []string{"remote: "}, expr: `^remote: .*(?i:denied|not found|error|fatal|forbidden|not allowed)`, weight: 89, before: 1, after: 3},
	{
		name: "permission", any: []string{"permission denied", "eacces", "operation not permitted", "read-only file system"},
		expr: `(?i)permission denied|\bEACCES\b|operation not permitted|read-only file system`, weight: 88, before: 2, after: 1,
	},
	{name: "curl", any: []string{"curl: ("}, expr: `^curl: \(\d+\)`, weight: 88, before: 2},
	{
		name: "denied", any: []string{"access denied", "authentication fail", "authentication required", "unauthorized", "403 forbidden", "invalid credentials", "host key verification"},
		expr: `(?i)access denied|authentication (?:fail|required)|\bunauthorized\b|403 forbidden|invalid credentials|host key verification failed`, weight: 86, before: 2, after: 1,
	},
	{
		name: "network", any: []string{"could not resolve host", "name resolution", "no such host", "connection refused", "connection reset", "connection timed out", "network is unreachable", "i/o timeout", "tls handshake timeout", "x509: ", "certificate has expired", "certificate verify failed", "no route to host", "econnrefused", "enotfound", "etimedout", "econnreset", "self-signed certificate", "self signed certificate"},
		expr: `(?i)could not resolve host|name resolution|no such host|connection (?:refused|reset|timed out)|network is unreachable|i/o timeout|tls handshake timeout|x509: |certificate (?:has expired|verify failed)|no route to host|\bE(?:CONNREFUSED|NOTFOUND|TIMEDOUT|CONNRESET)\b|self[- ]signed certificate`, weight: 85, before: 2, after: 1,
	},
	{name: "address in use", any: []string{"already in use", "port is already allocated"}, expr: `(?i)(?:address|port|name).* already in use|port is already allocated`, weight: 86, before: 1, after: 1},
	{name: "service", any: []string{"probably didn't start"}, expr: `^\*\*\* WARNING: Service .* probably didn't start properly`, weight: 82, lasts: true},
	{name: "service log", any: []string{"service container logs"}, expr: `^Service container logs:`, weight: 81, lasts: true, block: following, after: 6},
	{
		name: "pod trouble", any: []string{"crashloopbackoff", "back-off restarting", "createcontainerconfigerror", "failedscheduling", "insufficient cpu", "insufficient memory", "failedmount", "probe failed", "runcontainererror", "invalidimagename"},
		expr: `CrashLoopBackOff|Back-off restarting|CreateContainer(?:Config)?Error|FailedScheduling|Insufficient (?:cpu|memory)|FailedMount|(?:Liveness|Readiness|Startup) probe failed|RunContainerError|InvalidImageName`, weight: 84, before: 1, after: 1,
	},
	{name: "rollout", any: []string{"progress deadline", "timed out waiting for the condition"}, expr: `exceeded its progress deadline|timed out waiting for the condition`, weight: 90, before: 4, after: 2},
	{name: "deadline", any: []string{"deadline exceeded"}, expr: `(?i)deadline exceeded`, weight: 82, before: 2, after: 1},
}

// languagePatterns are compilers, test runners and run-time errors.
var languagePatterns = []pattern{
	// Go
	{name: "go panic", any: []string{"panic: ", "fatal error: "}, expr: `^(?:panic: |fatal error: (?:all goroutines|concurrent|stack|runtime|unexpected signal|invalid))`, weight: 100, block: goroutine, before: 1, after: 10},
	{name: "go test", any: []string{"--- fail: "}, expr: `^\s*--- FAIL: `, weight: 95, block: indented, before: 4, after: 14},
	{name: "go compile", any: append(numbered(".go:"), ".templ:"), expr: `^(?:vet: )?[\w./@~+-]*\.go:\d+:\d+: `, weight: 92, block: indented, before: 1, after: 2},
	{
		name: "go module", any: []string{"no required module", "missing go.sum", "cannot find module", "unknown revision", "updates to go.mod", "does not contain package", "cannot find package", "inconsistent vendoring"},
		expr: `(?i)no required module|missing go\.sum|cannot find (?:module|package)|unknown revision|updates to go\.mod|does not contain package|inconsistent vendoring`, weight: 88, before: 1, after: 2,
	},
	{name: "go package", any: []string{"fail\t"}, expr: `^FAIL\t\S+`, weight: 72, before: 3, sums: 1},
	{name: "go test result", any: numbered("_test.go:"), expr: `^\s+\S+_test\.go:\d+: .*(?i:\b(?:got|want|expected|unexpected|error|fail(?:ed|ure)?|mismatch|should|must|timed? ?out|diff|not equal)\b)`, weight: 93, after: 4},
	{name: "go test message", any: numbered("_test.go:"), expr: `^\s+\S+_test\.go:\d+: `, weight: 55, after: 2},
	// Rust
	{name: "rust summary", any: []string{"error: could not compile", "error: aborting due to", "error: test failed"}, expr: `^error: (?:could not compile|aborting due to|test failed)`, weight: 70, sums: 1},
	{name: "rust", any: []string{"error[e"}, expr: `^error\[E\d+\]: `, weight: 95, block: paragraph, after: 9},
	{name: "rust panic", any: []string{"' panicked at", " panicked at "}, expr: `^thread '.*'.* panicked at`, weight: 95, block: paragraph, before: 1, after: 5},
	{name: "rust test output", any: []string{" stdout ----"}, expr: `^---- \S+ stdout ----`, weight: 95, block: following, after: 6},
	{name: "rust test", any: []string{"... failed"}, expr: `^test .* \.\.\. FAILED$`, weight: 72},
	// Python
	{name: "traceback", any: []string{"traceback (most recent"}, expr: `Traceback \(most recent call last\)`, weight: 93, block: traceback, before: 1, after: 9},
	{name: "pytest detail", any: []string{"assert", "error", "exception", "failed", "expected", "e     "}, expr: `^E {2,}\S`, weight: 94, block: following, before: 3, after: 5},
	{name: "pytest summary", any: []string{"failed ", "error "}, expr: `^(?:FAILED|ERROR) \S+(?:::|\.py)`, weight: 80, sums: 3},
	{name: "ruff", any: numbered(".py:", ".pyi:"), expr: `^\s+--> \S+\.pyi?:\d+:\d+`, weight: 88, before: 1, after: 4},
	{name: "pytest collection", any: []string{"error collecting"}, expr: `^_+ ERROR collecting `, weight: 90, block: following, after: 8},
	{name: "unittest", any: []string{"fail: test", "error: test"}, expr: `^(?:FAIL|ERROR): test\w* \(`, weight: 93, block: following, after: 9},
	{name: "python lint", any: numbered(".py:"), expr: `^\S+\.py:\d+:(?:\d+:)? (?:error: |[A-Z]+\d+ )`, weight: 88, after: 1},
	{name: "pip", any: []string{"error: could not find a version", "no matching distribution", "resolutionimpossible", "error: cannot install"}, expr: `(?i)could not find a version|no matching distribution|ResolutionImpossible|error: cannot install`, weight: 88, before: 1, after: 2},
	// JVM
	{name: "maven test", any: []string{"<<< failure!", "<<< error!"}, expr: `<<< (?:FAILURE|ERROR)!`, weight: 94, block: following, after: 7},
	{name: "maven test line", any: []string{"[error]  "}, expr: `^\[ERROR\]\s+\w[\w.$]*[.:]\w+:\d+`, weight: 84, sums: 2},
	{name: "maven compile", any: []string{".java:[", ".kt:[", ".scala:["}, expr: `^\[ERROR\] .*\.(?:java|kt|scala):\[\d+`, weight: 95, block: indented, after: 2},
	{name: "maven goal", any: []string{"[error] failed to execute"}, expr: `^\[ERROR\] Failed to execute`, weight: 76, sums: 1},
	{name: "maven summary", any: []string{"[error] tests run", "[error] failures:", "[error] errors:", "compilation error", "there are test failures"}, expr: `^\[ERROR\] (?:Tests run|Failures:|Errors:|COMPILATION|There are)`, weight: 60},
	{name: "scalatest", any: []string{"*** failed ***"}, expr: `\*\*\* FAILED \*\*\*$`, weight: 95, block: following, before: 1, after: 2},
	{name: "sbt", any: []string{"[error] "}, expr: `^\[error\] \S.*:\d+(?::\d+)?: `, weight: 93, after: 3},
	{name: "sbt line", any: []string{"[error] "}, expr: `^\[error\] +\S`, weight: 75, after: 1},
	{name: "maven", any: []string{"[error] "}, expr: `^\[ERROR\] +\S`, weight: 75, after: 1},
	{name: "gradle cause", any: []string{"* what went wrong"}, expr: `^\* What went wrong:`, weight: 90, block: paragraph, after: 4},
	{name: "gradle test", any: []string{" failed"}, expr: `^\S.* > .* FAILED$`, weight: 94, block: indented, after: 6},
	{name: "gradle task", any: []string{"> task "}, expr: `^> Task \S+ FAILED`, weight: 72},
	{name: "kotlin", any: []string{"e: file", ".kt: ("}, expr: `^e: (?:file:)?/`, weight: 95, after: 1},
	{name: "java cause", any: []string{"exception in thread", "caused by: "}, expr: `^\s*(?:Exception in thread|Caused by: )`, weight: 91, block: indented, before: 1, after: 4},
	{name: "java exception", any: []string{"exception", "error"}, expr: `^\s*(?:[a-z]\w*\.){2,}[A-Z]\w*(?:Exception|Error)(?:: |$)`, weight: 88, block: indented, before: 1, after: 4},
	// Ruby and PHP
	{name: "rspec", any: []string{"failure/error:"}, expr: `^\s+Failure/Error:`, weight: 95, block: following, before: 1, after: 9},
	{name: "rspec summary", any: []string{"rspec ./"}, expr: `^rspec '?\./`, weight: 80, sums: 3},
	{name: "rspec load", any: []string{"an error occurred while loading", "an error occurred outside of"}, expr: `^An error occurred (?:while loading|outside of)`, weight: 92, block: following, after: 6},
	{name: "rails migration", any: []string{"all later migrations canceled"}, expr: `all later migrations canceled`, weight: 93, block: following, before: 1, after: 5},
	{name: "rake", any: []string{"rake aborted", "rails aborted", "bin/rails aborted"}, expr: `^(?:rake|(?:bin/)?rails) aborted!`, weight: 89, block: following, after: 4},
	{name: "ruby error", any: []string{"error:", "error (", "invalid:", "notfound:", "missing:", "violation:", "undefined"}, expr: `^\s{0,8}(?:[A-Z]\w*::)+[A-Z]\w*: \S`, weight: 91, before: 1, after: 4},
	{name: "exunit", any: []string{") test ", ") property ", ") doctest "}, expr: `^\s+\d+\) (?:test|property|doctest) .*\(\S+\)$`, weight: 96, block: following, after: 12},
	{name: "elixir", any: []string{"error)", "** (mix)", "** (exit", "== compilation error"}, expr: `^\s*\*\* \((?:\w+\.)*\w*(?:Error|Mix|[Ee]xit|EXIT)\b|^== Compilation error`, weight: 88, block: following, before: 2, after: 4},
	{name: "dialyzer", any: numbered(".ex:", ".exs:"), expr: `^\S+\.exs?:\d+(?::\d+)?:\w+$`, weight: 90, after: 2},
	{name: "elixir diagnostic", any: []string{" error: "}, expr: `^\s+error: \S`, weight: 90, block: following, after: 6},
	{name: "minitest", any: []string{") failure:", ") error:", "failure:", "error:"}, expr: `^\s+\d+\) (?:Failure|Error):`, weight: 94, block: paragraph, after: 7},
	{name: "ruby", any: numbered(".rb:"), expr: `\.rb:\d+:in .*: .* \([A-Z][\w:]*\)`, weight: 91, block: indented, after: 3},
	{name: "rubocop", any: numbered(".rb:"), expr: `^\S+\.rb:\d+:\d+: [CWEF]: `, weight: 85, after: 2},
	{name: "bundler", any: []string{"could not find gem", "bundler: failed", "could not find compatible", "in locally installed gems"}, expr: `(?i)could not find gem|^bundler: failed|could not find compatible|could not find .* in locally installed gems`, weight: 89, after: 2},
	{name: "phpunit", any: []string{"::test", "with data set", ") app\\", ") tests\\"}, expr: `^\d+\) \S+::\w+`, weight: 95, block: following, after: 6},
	{name: "phpstan", any: []string{"[error] found "}, expr: `^\s+\[ERROR\] Found \d+ errors?`, weight: 78, sums: 1},
	{name: "phpstan file", any: []string{".php "}, expr: `^\s+Line\s+\S+\.php\s*$`, weight: 90, block: following, after: 6},
	{name: "composer", any: []string{"your requirements could not be resolved"}, expr: `^Your requirements could not be resolved`, weight: 92, block: following, after: 6},
	{name: "php", any: []string{"php fatal error", "php parse error", "failed asserting that"}, expr: `PHP (?:Fatal|Parse) error|Failed asserting that`, weight: 94, before: 2, after: 4},
	{name: "php lock", any: []string{"lock file does not"}, expr: `^Your lock file does not`, weight: 92, block: following, after: 6},
	// Dart
	{name: "flutter", any: []string{"exception caught by"}, expr: `EXCEPTION CAUGHT BY`, weight: 94, block: following, after: 7},
	{name: "dart test", any: []string{".dart: "}, expr: `^\d\d:\d\d \+\d+ .* \[E\]$`, weight: 94, block: following, after: 5},
	// C and everything that writes "file:line: error:"
	{name: "linker", any: []string{"undefined reference to", "undefined symbol", "multiple definition of", "symbol(s) not found", "cannot find -l", "duplicate symbol", "undefined symbols"}, expr: `(?i)undefined reference to|undefined symbol|multiple definition of|symbol\(s\) not found|cannot find -l|duplicate symbol`, weight: 93, before: 2, after: 3},
	{name: "linker summary", any: []string{"ld returned "}, expr: `ld returned \d+ exit status`, weight: 68, sums: 1},
	{name: "bazel", any: []string{"error: /"}, expr: `^ERROR: /\S+:\d+:\d+: `, weight: 90, after: 4},
	{name: "compiler", any: []string{": error", "- error", ": fatal error", "\terror"}, expr: `^[^\s:(][^:(]*(?::\d+|\(\d+)[:,\d]*\)?(?::| -)\s+(?:fatal )?error\b`, weight: 95, block: indented, before: 1, after: 4},
	{name: "gtest", any: []string{": failure", ": failed:"}, expr: `^\S+:\d+: (?:Failure$|FAILED:)`, weight: 95, block: following, after: 5},
	{name: "gtest summary", any: []string{"[  failed  ]"}, expr: `^\[  FAILED  \]`, weight: 80},
	{name: "test anything", any: []string{"not ok "}, expr: `^\s*not ok \d+`, weight: 90, block: indented, after: 7},
	{name: "perl test", any: []string{"failed test"}, expr: `^\s*#\s+Failed test`, weight: 89, after: 4},
	{name: "ctest", any: []string{"***failed", "***exception", "***timeout", "***not run", "   failed"}, expr: `^\s*\d+/\d+ Test\s+#\d+: .*\*\*\*(?:Failed|Exception|Timeout|Not Run)`, weight: 90, block: following, after: 8},
	{name: "ctest list", any: []string{"the following tests failed"}, expr: `^The following tests FAILED:`, weight: 78, block: following, after: 4},
	{name: "msbuild", any: []string{": error "}, expr: `: error (?:CS|MSB|NU|NETSDK|FS|BC|AD|CA|IDE|SA|LNK|C)\d+: `, weight: 93, after: 1},
	{name: "typescript", any: []string{"error ts"}, expr: `^[^\s:]*[):]\d*(?::\d+)?:? ?-? error TS\d+: |^error TS\d+: `, weight: 95, block: indented, after: 4},
	// JavaScript
	{name: "jest", any: []string{"  ● "}, expr: `^\s+● (?:.* › |[^C])`, weight: 95, block: indented, after: 20},
	{name: "playwright", any: []string{" › "}, expr: `^\s+\d+\) .* › `, weight: 95, block: following, after: 13},
	{name: "esbuild", any: []string{"[error] "}, expr: `^(?:✘|X|✗) \[ERROR\] `, weight: 94, block: following, after: 6},
	{name: "bundler of scripts", any: []string{"error during build:", "failed to compile", "module not found: ", "failed to resolve import", "failed to resolve "}, expr: `^error during build:|^(?:Failed to compile|Module not found:)|[Ff]ailed to resolve (?:import|entry)`, weight: 92, block: following, after: 6},
	{name: "vitest", any: []string{" fail  "}, expr: `^ ?FAIL  \S+ (?:> |\[)`, weight: 95, block: following, after: 9},
	{name: "wdio", any: []string{"error in \""}, expr: `^\[\d+-\d+\] Error in "`, weight: 94, block: following, after: 6},
	{name: "node test", any: append(worded("✖ ", "✗ "), "  ✖", "  ✗", "  ✘", "  ✕"), expr: `^\s*[✖✗✘✕] \S`, weight: 84, block: indented, after: 8},
	{name: "jest suite", any: []string{"fail "}, expr: `^\s*FAIL\s+\S+`, weight: 74, after: 3},
	{name: "mocha", any: []string{" failing"}, expr: `^\s+\d+ failing$`, weight: 96, block: following, after: 10},
	{name: "eslint", any: []string{" error "}, expr: `^\s+\d+:\d+\s+error\s`, weight: 92, before: 3, after: 2},
	{name: "commit message", any: []string{"✖  "}, expr: `^✖\s{2,}\S`, weight: 84, before: 1},
	{name: "webpack", any: []string{"error in "}, expr: `^ERROR in `, weight: 93, block: paragraph, after: 6},
	{name: "npm chatter", any: []string{" err! ", " error "}, expr: `^npm (?:ERR!|error) (?:code (?:ELIFECYCLE|1$|\d+$)|path |errno|command|Test failed|Lifecycle script|Exit status|Failed at|This is probably|signal|workspace|location|syscall|dest |file |A complete log|in workspace|at location|\s*/|$)`, weight: 44},
	{name: "audit", any: []string{"severity: "}, expr: `^Severity: (?:moderate|high|critical)`, weight: 88, before: 1, after: 3},
	{name: "warnings as errors", any: []string{"warnings-as-errors", "warnings as errors", "too many warnings", "treated as errors"}, expr: `(?i)warnings[- ]as[- ]errors|too many warnings|treated as errors`, weight: 80, before: 9},
	{name: "npm", any: []string{" err! ", " error "}, expr: `^npm (?:ERR!|error) \S`, weight: 88, block: following, after: 6},
	{name: "yarn chatter", any: []string{"error command failed", "elifecycle"}, expr: `^error Command failed|ELIFECYCLE`, weight: 44},
	{name: "pnpm chatter", any: []string{"err_pnpm_recursive"}, expr: `ERR_PNPM_RECURSIVE`, weight: 44},
	{name: "yarn", any: []string{"yn0001", "yn0009", "yn0018", "yn0028", "yn0035", "yn0041", "yn0082"}, expr: `\bYN00(?:01|09|18|28|35|41|82)\b`, weight: 90, after: 2},
	{name: "pnpm", any: []string{"err_pnpm"}, expr: `ERR_PNPM_`, weight: 90, after: 3},
	{name: "thrown", any: []string{"error: ", "exception: ", "error [", "error:"}, expr: `^\s{0,2}(?:Uncaught |Unhandled )?(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception)(?: \[\w+\])?:(?: |$)`, weight: 88, block: indented, before: 2, after: 4},
}

// toolPatterns are builders, deployers and checkers.
var toolPatterns = []pattern{
	{name: "make rule", any: []string{"no rule to make target"}, expr: `No rule to make target`, weight: 91, before: 1},
	{name: "make", any: []string{"make: *** ", "]: *** "}, expr: `^(?:g?make|ninja)(?:\[\d+\])?: \*\*\* .*Error \d`, weight: 60, before: 5, sums: 1},
	{name: "cmake", any: []string{"cmake error"}, expr: `^CMake Error`, weight: 93, block: following, after: 5},
	{
		name: "buildkit cause", any: []string{"failed to compute cache key", "failed to read dockerfile", "failed to calculate checksum", "dockerfile parse error", "copy failed", "add failed"},
		expr: `(?i)failed to (?:compute cache key|read dockerfile|calculate checksum)|dockerfile parse error|(?:COPY|ADD) failed`, weight: 91, before: 1, after: 1,
	},
	{name: "buildkit step", any: []string{"did not complete successfully"}, expr: `did not complete successfully`, weight: 78, before: 6},
	{name: "ansible", any: []string{"fatal: [", "failed: ["}, expr: `^(?:fatal|failed): \[[^\]]*\](?::|.*=>)`, weight: 93, before: 2, after: 1},
	{name: "psql", any: []string{"psql:", "error:  ", "fatal:  "}, expr: `^psql:.*(?:ERROR|FATAL|error):|^(?:ERROR|FATAL):  \S`, weight: 92, before: 1, after: 4},
	{name: "mysql", any: []string{"error 1", "error 2"}, expr: `^ERROR \d{4} \([0-9A-Z]{5}\)`, weight: 92, before: 1, after: 1},
	{name: "migration", any: []string{"migration"}, expr: `(?i)\bmigration\b.* failed|\bfailed to (?:apply|run) .*migration`, weight: 90, before: 1, after: 7},
	{name: "merge", any: []string{"conflict ("}, expr: `^CONFLICT \(`, weight: 90, before: 1, after: 2},
	{name: "quality gate", any: []string{"quality gate"}, expr: `(?i)quality gate.*fail`, weight: 90, before: 1, after: 2},
	{name: "pushing image", any: []string{"error pushing", "failed to push"}, expr: `(?i)^error pushing|^(?:error|fatal).*failed to push`, weight: 91, before: 1, after: 2},
	{name: "difference", any: []string{"diff --git"}, expr: `^diff --git `, weight: 58, block: following, after: 16},
	{name: "git", any: []string{"fatal: "}, expr: `^fatal: `, weight: 88, before: 2, after: 1},
	{name: "tool error", any: []string{"error: ", "error from server"}, expr: `^(?:Uncaught )?Error(?: from server)?(?: \(\w+\))?: \S`, weight: 87, block: following, before: 1, after: 7},
	{name: "coverage", any: []string{"coverage"}, expr: `(?i)coverage .*(?:below|less than|does not meet|not met|failed under|not reached|under the)`, weight: 87, before: 3},
	{name: "format", any: []string{"would reformat"}, expr: `(?i)^would reformat`, weight: 86, before: 2, after: 3},
	{name: "dotnet test", any: []string{"  failed "}, expr: `^\s+Failed \S.* \[[<\d]`, weight: 95, block: following, after: 13},
	{name: "xunit", any: []string{"[fail]"}, expr: `^\[xUnit\.net .*\] .* \[FAIL\]`, weight: 84, block: following, after: 4},
	{name: "upload", any: []string{"too large", "uploading artifacts"}, expr: `(?i)^(?:ERROR|FATAL): .*(?:too large|uploading artifacts)|413 request entity too large`, weight: 88, before: 2, after: 1},
	{name: "log level", any: []string{"level=error", "level=fatal", "level=panic", `"level":"error"`, `"level":"fatal"`}, expr: `level"?[=:]"?(?:error|fatal|panic)`, weight: 62, before: 1, after: 1},
	{name: "error report", any: []string{"error: ", "fatal: ", "##[error]", "::error"}, expr: `^(?:(?:ERROR|FATAL|error|fatal|Fatal): \S|##\[error\]|::error)`, weight: 80, before: 2, after: 4},
	{name: "failed tests", any: []string{" failed", " failing", "failures"}, expr: `(?i)\b[1-9]\d* (?:tests? |examples?, \d+ )?(?:failed|failing|failures?)\b`, weight: 66, before: 2, after: 1},
	{name: "build result", any: []string{"build failed", "failure: build"}, expr: `^(?:BUILD FAILED|Build FAILED|FAILURE: Build failed)`, weight: 52, before: 2, after: 3, sums: 1},
}

// generalPatterns are words, the heaviest first.
var generalPatterns = []pattern{
	{name: "no such file", any: []string{"no such file or directory"}, expr: `No such file or directory`, weight: 79, before: 2, after: 1},
	{name: "named error", any: []string{"error:", "fatal:", "failure:", "error!", "error -", "exception:"}, expr: `(?i)^\s*(?:\S{1,60}:? ){0,3}\[?(?:fatal|error|failure|exception)\]?(?::|!| -)`, weight: 74, before: 2, after: 3},
	{name: "timed out", any: []string{"timed out", "timeout"}, expr: `(?i)\btimed out\b|\btimeout (?:of|after|exceeded|expired|waiting|reached)`, weight: 64, before: 2, after: 1},
	{name: "severe", any: []string{"error", "fatal", "critical", "severe"}, expr: `(?:^|[\s\[|])(?:ERROR|FATAL|CRITICAL|SEVERE)(?:[\s\]|:]|$)`, weight: 62, before: 1, after: 2},
	{name: "not found", any: []string{": not found", "not found:", "does not exist", "not found"}, expr: `(?i)(?::|is|was) not found\b|not found:|does not exist`, weight: 58, before: 2, after: 1},
	{name: "unable", any: []string{"unable to ", "could not ", "cannot ", "can't "}, expr: `(?i)\b(?:unable to|could not|cannot|can't)\b`, weight: 56, before: 2, after: 1},
	{name: "failed", any: []string{"failed", "failure", "failing"}, expr: `(?i)(?:^|[\s"'\[(>])(?:failed|failure|failing)(?:$|[\s:,.!"'\])])`, weight: 54, before: 2, after: 2},
	{name: "error word", any: []string{"error", "exception", "fatal"}, expr: `(?i)(?:^|[\s"'\[(>|])(?:errors?|exception|fatal)(?:$|[\s:,!"'\])|]|\.(?:\s|$))`, weight: 46, before: 2, after: 2},
	{name: "terminated", any: []string{"terminated", "aborted", "aborting", "rejected", "unhandled"}, expr: `(?i)^(?:.*: )?(?:terminated|aborted|aborting|unhandled)\b|\brejected\b`, weight: 44, before: 2, after: 1},
	{name: "exit status", any: []string{"exit code", "exit status", "exited with", "non-zero"}, expr: `(?i)\b(?:exit(?:ed)?(?: with)?(?: code| status)?:? ?[1-9]\d*|non-zero)`, weight: 42, before: 4},
	{name: "complaint", any: []string{"undefined", "unexpected", "invalid ", "missing ", "unknown ", "unsupported", "mismatch", "not allowed", "forbidden", "too many"}, expr: `(?i)(?:^|\s|: )(?:undefined|unexpected|invalid|missing|unknown|unsupported|mismatch|not allowed|forbidden|too many)\b`, weight: 40, before: 2, after: 1},
}

// knownQuiets look at lines in lower case.
var knownQuiets = []quiet{
	{name: "no files to upload", any: []string{"no files to upload", "no matching files"}, expr: `no (?:files to upload|matching files)`, below: 101},
	{name: "passed", any: []string{"pass", "ok", "✓", "✔", "√", "success"}, expr: `^\s*(?:ok\b|pass(?:ed)?\b|--- pass|✓|✔|√)|\.\.\. ok$|\bpassed\b|\bpassed$`, unless: `[1-9]\d* (?:tests? )?(?:failed|failing|failures?|errors?)\b|(?:failed|failures?|errors?): +[1-9]|^not ok`, below: 92},
	{
		name: "warning", any: []string{"warn", "deprecat", "notice", "info", "debug", "note", "hint", "trace"},
		expr:   `^\s*(?:\S+[:(]\d+(?:[:,]\d+)*\)?:? )?(?:\S+ )?\[?(?:warn(?:ing)?|deprecat\w*|notice|info|debug|note|hint|trace)\]?[\s:(!\[|]|^[iw]\d{4} \d\d:|level"?[=:]"?(?:info|warn|debug|trace)`,
		unless: `data race|warning: threadsanitizer|\*\*\* failed \*\*\*|failed to pull image|warnings? treated as|^info\w*\.|threshold|didn't start properly|>>> `, below: 101,
	},
	{name: "retry", any: []string{"retry", "retries", "attempt "}, expr: `\bretry(?:ing)?\b|\bretries\b|\battempt \d+ ?(?:of|/)`, unless: `giving up|no more|exhausted|exceeded|failed after|max retries`, below: 92},
	{name: "counted zero", any: []string{"0 ", "no ", "zero ", "without "}, expr: `\b(?:0|no|zero|without(?: any)?) (?:compilation |syntax |known |fatal |lint )?(?:errors?|failures?|failed|failing|problems|vulnerabilities|issues)\b`, unless: `\b[1-9]\d* (?:errors?|failures?|failed|failing|problems?)\b`, below: 90},
	{name: "counted zero after", any: []string{"error", "fail", "fatal"}, expr: `\b(?:errors?|failures?|failed|fatal)\s*[:=]\s*(?:0|none|false|null|nil)\b`, unless: `\b(?:errors?|failures?|failed|unreachable)\s*[:=]\s*[1-9]`, below: 90},
	{
		name: "subject of errors", any: []string{"error-", "error ", "error_"},
		expr: `error[- _](?:handl\w*|prone|messages?|reports?|reporting|pages?|boundar\w+|free|logs?|logg\w+|track\w+|rates?|class\w*|types?|codes?|recovery|paths?|output|budget)\b`, below: 80,
	},
	{
		name: "case of errors", any: []string{" error", " failure"},
		expr: `\b(?:on|if|any|for|logs?|handles?|handling|ignor(?:e|ed|ing)|expected|catch|known|previous|last) (?:\w+ )?(?:error|failure)s?\b`, below: 80,
	},
	{name: "setting for failures", any: []string{"fail"}, expr: `fail[-_ ]?(?:fast|over)\b|allow[-_ ]failure|\b(?:on|if|when|for)[-_ ]?fail(?:ed|ure)\b`, below: 80},
	{name: "fetching", any: nil, expr: `^\s*(?:compiling|download\w*|install\w*|fetch\w*|checking|unpacking|setting up|preparing to|selecting|get:\d+|requirement already|collecting|using cached|added|adding|cloning|copying|extracting|building wheel|progress|inflating|creating|npm http|npm timing|uploading)\b`, below: 80},
	{name: "maven help", any: []string{"[error]"}, expr: `^\[error\] +(?:\[help|-> \[|to see the full|re-run maven|for more information|after correcting|please refer|see )`, below: 101},
	{name: "console capture", any: []string{"● console", "complete log"}, expr: `● console|a complete log of this run`, below: 101},
	{name: "prose", any: []string{"license", "licence", "warrant", "copyright"}, expr: `\blicen[cs]e|warrant(?:y|ies)|copyright`, below: 80},
}
