package joblog

import "slices"

// numbered appends the digits 1 to 9 to each stem: ".go:" becomes ".go:1" and so on.
func numbered(stems ...string) []string {
	var out []string
	for _, stem := range stems {
		for d := '1'; d <= '9'; d++ {
			out = append(out, stem+string(d))
		}
	}
	return out
}

// shellTrouble is what shells and system calls say.
const shellTrouble = `(?:not found|[Pp]ermission denied|No such file or directory|syntax error|unbound variable|bad substitution|Is a directory|Not a directory|Argument list too long|cannot execute|parameter (?:not set|null)|unexpected|[Nn]o space left|Exec format error|illegal option|invalid option|ambiguous redirect)`

var knownPatterns = slices.Concat(jobPatterns, systemPatterns, languagePatterns, toolPatterns, generalPatterns)

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
	{name: "sanitizer", any: []string{"sanitizer", "runtime error:", "data race"}, expr: `ERROR: \w+Sanitizer|: runtime error: |^WARNING: DATA RACE`, weight: 96, block: following, after: 8},
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
	{name: "deadline", any: []string{"deadline exceeded"}, expr: `(?i)deadline exceeded`, weight: 82, before: 2, after: 1},
}

// languagePatterns are compilers, test runners and run-time errors.
var languagePatterns = []pattern{
	// Go
	{name: "go panic", any: []string{"panic: ", "fatal error: "}, expr: `^(?:panic: |fatal error: (?:all goroutines|concurrent|stack|runtime|unexpected signal|invalid))`, weight: 100, block: following, before: 1, after: 9},
	{name: "go test", any: []string{"--- fail: "}, expr: `^\s*--- FAIL: `, weight: 95, block: indented, before: 4, after: 8},
	{name: "go compile", any: append(numbered(".go:"), ".templ:"), expr: `^(?:vet: )?[\w./@~+-]*\.go:\d+:\d+: `, weight: 92, block: indented, before: 1, after: 2},
	{
		name: "go module", any: []string{"no required module", "missing go.sum", "cannot find module", "unknown revision", "updates to go.mod", "does not contain package", "cannot find package", "inconsistent vendoring"},
		expr: `(?i)no required module|missing go\.sum|cannot find (?:module|package)|unknown revision|updates to go\.mod|does not contain package|inconsistent vendoring`, weight: 88, before: 1, after: 2,
	},
	{name: "go package", any: []string{"fail\t"}, expr: `^FAIL\t\S+`, weight: 72, before: 3},
	{name: "go test message", any: numbered("_test.go:"), expr: `^\s+\S+_test\.go:\d+: `, weight: 55, after: 2},
	// Rust
	{name: "rust summary", any: []string{"error: could not compile", "error: aborting due to", "error: test failed"}, expr: `^error: (?:could not compile|aborting due to|test failed)`, weight: 70},
	{name: "rust", any: []string{"error[e"}, expr: `^error\[E\d+\]: `, weight: 95, block: paragraph, after: 9},
	{name: "rust panic", any: []string{"' panicked at", " panicked at "}, expr: `^thread '.*'.* panicked at`, weight: 95, block: paragraph, before: 1, after: 5},
	{name: "rust test", any: []string{"... failed"}, expr: `^test .* \.\.\. FAILED$`, weight: 72},
	// Python
	{name: "traceback", any: []string{"traceback (most recent"}, expr: `Traceback \(most recent call last\)`, weight: 93, block: traceback, before: 1, after: 9},
	{name: "pytest detail", any: []string{"assert", "error", "exception", "failed", "expected"}, expr: `^E {2,}\S`, weight: 94, block: following, before: 3, after: 3},
	{name: "pytest summary", any: []string{"failed ", "error "}, expr: `^(?:FAILED|ERROR) \S+(?:::|\.py)`, weight: 80},
	{name: "unittest", any: []string{"fail: test", "error: test"}, expr: `^(?:FAIL|ERROR): test\w* \(`, weight: 93, block: following, after: 9},
	{name: "python lint", any: numbered(".py:"), expr: `^\S+\.py:\d+:(?:\d+:)? (?:error: |[A-Z]+\d+ )`, weight: 88, after: 1},
	{name: "pip", any: []string{"error: could not find a version", "no matching distribution", "resolutionimpossible", "error: cannot install"}, expr: `(?i)could not find a version|no matching distribution|ResolutionImpossible|error: cannot install`, weight: 88, before: 1, after: 2},
	// JVM
	{name: "maven test", any: []string{"<<< failure!", "<<< error!"}, expr: `<<< (?:FAILURE|ERROR)!`, weight: 94, block: following, after: 3},
	{name: "maven compile", any: []string{".java:[", ".kt:[", ".scala:["}, expr: `^\[ERROR\] .*\.(?:java|kt|scala):\[\d+`, weight: 95, block: indented, after: 2},
	{name: "maven summary", any: []string{"[error] tests run", "[error] failures:", "[error] errors:", "compilation error", "[error] failed to execute", "there are test failures"}, expr: `^\[ERROR\] (?:Tests run|Failures:|Errors:|COMPILATION|Failed to execute|There are)`, weight: 76},
	{name: "maven", any: []string{"[error] "}, expr: `^\[ERROR\] +\S`, weight: 75, after: 1},
	{name: "gradle cause", any: []string{"* what went wrong"}, expr: `^\* What went wrong:`, weight: 86, block: paragraph, after: 4},
	{name: "gradle test", any: []string{" failed"}, expr: `^\S.* > .* FAILED$`, weight: 94, block: indented, after: 4},
	{name: "gradle task", any: []string{"> task "}, expr: `^> Task \S+ FAILED`, weight: 72},
	{name: "kotlin", any: []string{"e: file", ".kt: ("}, expr: `^e: (?:file:)?/`, weight: 95, after: 1},
	{name: "java cause", any: []string{"exception in thread", "caused by: "}, expr: `^\s*(?:Exception in thread|Caused by: )`, weight: 91, block: indented, before: 1, after: 4},
	{name: "java exception", any: []string{"exception", "error"}, expr: `^\s*(?:[a-z]\w*\.){2,}[A-Z]\w*(?:Exception|Error)(?:: |$)`, weight: 88, block: indented, before: 1, after: 4},
	// Ruby and PHP
	{name: "rspec", any: []string{"failure/error:"}, expr: `^\s+Failure/Error:`, weight: 95, block: following, before: 1, after: 7},
	{name: "rspec summary", any: []string{"rspec ./"}, expr: `^rspec \./`, weight: 80},
	{name: "minitest", any: []string{") failure:", ") error:", "failure:", "error:"}, expr: `^\s+\d+\) (?:Failure|Error):`, weight: 94, block: paragraph, after: 7},
	{name: "ruby", any: numbered(".rb:"), expr: `\.rb:\d+:in .*: .* \([A-Z][\w:]*\)`, weight: 91, block: indented, after: 3},
	{name: "rubocop", any: numbered(".rb:"), expr: `^\S+\.rb:\d+:\d+: [CWEF]: `, weight: 85, after: 2},
	{name: "bundler", any: []string{"could not find gem", "bundler: failed", "could not find compatible", "in locally installed gems"}, expr: `(?i)could not find gem|^bundler: failed|could not find compatible|could not find .* in locally installed gems`, weight: 89, after: 2},
	{name: "php", any: []string{"php fatal error", "php parse error", "failed asserting that"}, expr: `PHP (?:Fatal|Parse) error|Failed asserting that`, weight: 94, before: 2, after: 4},
	// C and everything that writes "file:line: error:"
	{name: "linker", any: []string{"undefined reference to", "undefined symbol", "multiple definition of", "symbol(s) not found", "cannot find -l"}, expr: `(?i)undefined reference to|undefined symbol|multiple definition of|symbol\(s\) not found|cannot find -l`, weight: 93, before: 1, after: 2},
	{name: "linker summary", any: []string{"ld returned "}, expr: `ld returned \d+ exit status`, weight: 68},
	{name: "compiler", any: []string{": error", "- error", ": fatal error", "\terror"}, expr: `^[^\s:(][^:(]*(?::\d+|\(\d+)[:,\d]*\)?(?::| -)\s+(?:fatal )?error\b`, weight: 95, block: indented, after: 4},
	{name: "gtest", any: []string{": failure", "[  failed  ]"}, expr: `^\S+:\d+: Failure$`, weight: 95, block: following, after: 5},
	{name: "gtest summary", any: []string{"[  failed  ]"}, expr: `^\[  FAILED  \]`, weight: 80},
	{name: "test anything", any: []string{"not ok "}, expr: `^\s*not ok \d+`, weight: 90, block: indented, after: 7},
	// JavaScript
	{name: "jest", any: []string{"  ● "}, expr: `^\s+● (?:.* › |[^C])`, weight: 95, block: indented, after: 13},
	{name: "jest suite", any: []string{"fail "}, expr: `^\s*FAIL\s+\S+`, weight: 74, after: 3},
	{name: "mocha", any: []string{" failing"}, expr: `^\s+\d+ failing$`, weight: 92, block: indented, after: 10},
	{name: "eslint", any: []string{" error "}, expr: `^\s+\d+:\d+\s+error\s`, weight: 92, before: 1, after: 2},
	{name: "webpack", any: []string{"error in "}, expr: `^ERROR in `, weight: 93, block: paragraph, after: 6},
	{name: "npm chatter", any: []string{" err! ", " error "}, expr: `^npm (?:ERR!|error) (?:code (?:ELIFECYCLE|1$|\d+$)|path |errno|command|Test failed|Lifecycle script|Exit status|Failed at|This is probably|signal|workspace|location|syscall|dest |file |A complete log|in workspace|at location|\s*/|$)`, weight: 44},
	{name: "npm", any: []string{" err! ", " error "}, expr: `^npm (?:ERR!|error) \S`, weight: 88, block: following, after: 6},
	{name: "yarn chatter", any: []string{"error command failed", "elifecycle"}, expr: `^error Command failed|ELIFECYCLE`, weight: 44},
	{name: "pnpm", any: []string{"err_pnpm"}, expr: `ERR_PNPM_`, weight: 90, after: 3},
	{name: "thrown", any: []string{"error: ", "exception: ", "error [", "error:"}, expr: `^\s{0,2}(?:Uncaught |Unhandled )?(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception)(?: \[\w+\])?:(?: |$)`, weight: 88, block: indented, before: 2, after: 4},
	{name: "thrown plainly", any: []string{"error: "}, expr: `^(?:Uncaught )?Error: `, weight: 87, block: indented, before: 2, after: 4},
}

// toolPatterns are builders, deployers and checkers.
var toolPatterns = []pattern{
	{name: "make rule", any: []string{"no rule to make target"}, expr: `No rule to make target`, weight: 91, before: 1},
	{name: "make", any: []string{"make: *** ", "]: *** "}, expr: `^(?:g?make|ninja)(?:\[\d+\])?: \*\*\* `, weight: 60, before: 5},
	{name: "cmake", any: []string{"cmake error"}, expr: `^CMake Error`, weight: 93, block: following, after: 5},
	{
		name: "buildkit cause", any: []string{"failed to compute cache key", "failed to read dockerfile", "failed to calculate checksum", "dockerfile parse error", "copy failed", "add failed"},
		expr: `(?i)failed to (?:compute cache key|read dockerfile|calculate checksum)|dockerfile parse error|(?:COPY|ADD) failed`, weight: 91, before: 1, after: 1,
	},
	{name: "buildkit step", any: []string{"did not complete successfully"}, expr: `did not complete successfully`, weight: 78, before: 6},
	{name: "build step", any: []string{"returned a non-zero code", "error building", "building at step", "failed to solve"}, expr: `returned a non-zero code|[Ee]rror building|building at STEP|failed to solve`, weight: 78, before: 5},
	{name: "ansible", any: []string{"fatal: ["}, expr: `^fatal: \[.*\]: (?:FAILED|UNREACHABLE)`, weight: 93, before: 2, after: 2},
	{name: "git", any: []string{"fatal: "}, expr: `^fatal: `, weight: 88, before: 2, after: 1},
	{name: "tool error", any: []string{"error: ", "error from server"}, expr: `^Error(?: from server)?(?: \(\w+\))?: \S`, weight: 87, block: following, before: 1, after: 5},
	{name: "coverage", any: []string{"coverage"}, expr: `(?i)coverage .*(?:below|less than|does not meet|not met|failed under)`, weight: 87, before: 3},
	{name: "format", any: []string{"would reformat", "code style issues", "would be reformatted"}, expr: `(?i)^would reformat|code style issues|would be reformatted`, weight: 86, before: 2, after: 1},
	{name: "dotnet test", any: []string{"  failed "}, expr: `^\s+Failed \S+ \[`, weight: 92, block: following, after: 6},
	{name: "upload", any: []string{"too large", "uploading artifacts"}, expr: `(?i)^(?:ERROR|FATAL): .*(?:too large|uploading artifacts)|413 request entity too large`, weight: 88, before: 2, after: 1},
	{name: "log level", any: []string{"level=error", "level=fatal", "level=panic", `"level":"error"`, `"level":"fatal"`}, expr: `level"?[=:]"?(?:error|fatal|panic)`, weight: 62, before: 1, after: 1},
	{name: "error report", any: []string{"error: ", "fatal: ", "##[error]", "::error"}, expr: `^(?:(?:ERROR|FATAL|error|fatal|Fatal): \S|##\[error\]|::error)`, weight: 80, before: 2, after: 4},
	{name: "failed tests", any: []string{" failed", " failing", "failures"}, expr: `(?i)\b[1-9]\d* (?:tests? |examples?, \d+ )?(?:failed|failing|failures?)\b`, weight: 66, before: 2, after: 1},
	{name: "build result", any: []string{"build failed", "failure: build"}, expr: `^(?:BUILD FAILED|Build FAILED|FAILURE: Build failed)`, weight: 52, before: 2, after: 3},
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
	{name: "passed", any: []string{"pass", "ok", "✓", "✔", "√", "success"}, expr: `^\s*(?:ok\b|pass(?:ed)?\b|--- pass|✓|✔|√)|\.\.\. ok$|\bpassed\b|\bpassed$`, unless: `[1-9]\d* (?:failed|failing|failures?|errors?)|^not ok`, below: 101},
	{
		name: "warning", any: []string{"warn", "deprecat", "notice", "info", "debug", "note", "hint", "trace"},
		expr:   `^\s*(?:\S+[:(]\d+(?:[:,]\d+)*\)?:? )?(?:\S+ )?\[?(?:warn(?:ing)?|deprecat\w*|notice|info|debug|note|hint|trace)\]?[\s:(!]|level"?[=:]"?(?:info|warn|debug|trace)`,
		unless: `data race|failed to pull image|warnings? treated as|^info\w*\.|threshold`, below: 101,
	},
	{name: "retry", any: []string{"retry", "retries", "attempt "}, expr: `\bretry(?:ing)?\b|\bretries\b|\battempt \d+ ?(?:of|/)`, unless: `giving up|no more|exhausted|exceeded|failed after|max retries`, below: 101},
	{name: "counted zero", any: []string{"0 ", "no ", "zero ", "without "}, expr: `\b(?:0|no|zero|without(?: any)?) (?:compilation |syntax |known |fatal |lint )?(?:errors?|failures?|failed|failing|problems|vulnerabilities|issues)\b`, unless: `\b[1-9]\d* (?:errors?|failures?|failed|failing)\b`, below: 90},
	{name: "counted zero after", any: []string{"error", "fail", "fatal"}, expr: `\b(?:errors?|failures?|failed|fatal)\s*[:=]\s*(?:0|none|false|null|nil)\b`, unless: `\b(?:errors?|failures?|failed)\s*[:=]\s*[1-9]`, below: 90},
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
