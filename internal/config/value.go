package config

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	sqliteScheme    = "sqlite:"
	workspaceAdmins = "workspace-admins"
	signingPrefix   = "whsec_"
	keyBytes        = 32
)

// checkText refuses what no value may contain.
func checkText(v string) error {
	if !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl) {
		return errors.New("it has control characters or line breaks in it; expected: one line of text")
	}
	return nil
}

func setAddress(to *string, v string) error {
	wrong := fmt.Errorf("%q is no address; expected: host:port, for example :8080 or 127.0.0.1:8080", v)
	if checkText(v) != nil {
		return wrong
	}
	_, port, err := net.SplitHostPort(v)
	if err != nil {
		return wrong
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return wrong
	}
	*to = v
	return nil
}

// setURL stores an http or https URL without a slash at its end.
func setURL(to *string, v string) error {
	if err := checkURL(v); err != nil {
		return err
	}
	*to = strings.TrimRight(v, "/")
	return nil
}

// setBaseURL stores an http or https URL that ends in a slash.
func setBaseURL(to *string, v string) error {
	if err := checkURL(v); err != nil {
		return err
	}
	if !strings.HasSuffix(v, "/") {
		return fmt.Errorf("%q does not end in a slash; expected: %q", v, v+"/")
	}
	*to = v
	return nil
}

// checkURL does not repeat a URL that may hold a password.
func checkURL(v string) error {
	u, err := url.Parse(v)
	switch {
	case err != nil || checkText(v) != nil:
		return errors.New("it is no URL; expected: one such as https://gitlab.example.com")
	case u.User != nil:
		return errors.New("it has a user or password in it; expected: a URL without")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%q is no web address; expected: http:// or https:// first", v)
	case u.Hostname() == "":
		return fmt.Errorf("%q names no host; expected: one such as https://gitlab.example.com", v)
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(v, "#"):
		return fmt.Errorf("%q has a query or fragment; expected: a URL without ? and #", v)
	}
	return nil
}

func setDatabase(to *string, v string) error {
	if strings.HasPrefix(v, "postgres://") || strings.HasPrefix(v, "postgresql://") {
		return errors.New("PostgreSQL comes later; expected for now: sqlite:PATH")
	}
	path, ok := strings.CutPrefix(v, sqliteScheme)
	if !ok || path == "" || checkText(v) != nil {
		return errors.New("it names no database that we know; expected: sqlite:PATH, for example sqlite:/var/lib/kovra/kovra.db")
	}
	*to = path
	return nil
}

var sizePattern = regexp.MustCompile(`^([0-9]{1,18}) ?([A-Za-z]*)$`)

var sizeUnits = map[string]int64{
	"": 1, "b": 1,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

// setSize stores a number of bytes between least and most.
func setSize(to *int64, v string, least, most int64) error {
	wrong := fmt.Errorf("%q is no size between %s and %s; expected: a number with a unit, for example %s",
		v, formatSize(least), formatSize(most), formatSize(max(least, 25<<20)))
	match := sizePattern.FindStringSubmatch(v)
	if match == nil {
		return wrong
	}
	n, err := strconv.ParseInt(match[1], 10, 64)
	unit, ok := sizeUnits[strings.ToLower(match[2])]
	if err != nil || !ok || n == 0 || n > math.MaxInt64/unit || n*unit < least || n*unit > most {
		return wrong
	}
	*to = n * unit
	return nil
}

// formatSize gives a size that setSize reads back.
func formatSize(n int64) string {
	for _, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if size := sizeUnits[strings.ToLower(unit)]; n > 0 && n%size == 0 {
			return strconv.FormatInt(n/size, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10)
}

// ages are the units of a length of time, in the order in which one is chosen to write it. Weeks are
// only read: 90d is what people know.
var ages = []struct {
	unit string
	is   time.Duration
}{{"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"w", 7 * day}}

const day = 24 * time.Hour

var agePattern = regexp.MustCompile(`^([0-9]{1,9}) ?([A-Za-z])$`)

// setAge stores a length of time between least and most.
func setAge(to *time.Duration, v string, least, most time.Duration) error {
	wrong := fmt.Errorf("%q is no time between %s and %s; expected: a number with a unit, for example 30m, 12h or 90d", v, formatAge(least), formatAge(most))
	match := agePattern.FindStringSubmatch(v)
	if match == nil {
		return wrong
	}
	n, err := strconv.ParseInt(match[1], 10, 64)
	if err != nil {
		return wrong
	}
	for _, a := range ages {
		if a.unit != strings.ToLower(match[2]) {
			continue
		}
		if n > int64(most/a.is) || time.Duration(n)*a.is < least {
			return wrong
		}
		*to = time.Duration(n) * a.is
		return nil
	}
	return wrong
}

// formatAge gives a length of time that setAge reads back.
func formatAge(d time.Duration) string {
	for _, a := range ages {
		if d%a.is == 0 {
			return strconv.FormatInt(int64(d/a.is), 10) + a.unit
		}
	}
	return d.String()
}

func setLogAccess(to *LogAccess, v string) error {
	switch a := LogAccess(strings.ToLower(v)); a {
	case LogByLink, LogByLogin:
		*to = a
		return nil
	}
	return fmt.Errorf("%q is no way to read logs; expected: link or login", v)
}

func setText(to *string, v string) error {
	if strings.TrimSpace(v) != v {
		return errors.New("it has blanks around it; expected: the value alone")
	}
	if err := checkText(v); err != nil {
		return err
	}
	*to = v
	return nil
}

func setSecret(to *Secret, v string) error {
	if strings.TrimSpace(v) != v {
		return errors.New("it has blanks around it; expected: the secret alone")
	}
	if err := checkText(v); err != nil {
		return err
	}
	*to = Secret(v)
	return nil
}

func setBotToken(to *Secret, v string) error {
	if strings.HasPrefix(v, "xapp-") {
		return errors.New("it is an app-level token (xapp-…); expected: the bot token (xoxb-…)")
	}
	return setSecret(to, v)
}

// setAppToken stores an app-level token.
func setAppToken(to *Secret, v string) error {
	if !strings.HasPrefix(strings.TrimSpace(v), "xapp-") {
		return errors.New("it is no app-level token; expected: one that begins with xapp- and has the scope connections:write")
	}
	return setSecret(to, v)
}

// setSecrets stores a comma-separated list; check gives what is stored of each entry.
func setSecrets(to *[]Secret, v string, check func(string) (Secret, error)) error {
	var list []Secret
	for i, item := range strings.Split(v, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			return fmt.Errorf("entry %d of the list is empty; expected: secrets separated by commas", i+1)
		}
		secret, err := check(item)
		if err != nil {
			return fmt.Errorf("entry %d of the list: %w", i+1, err)
		}
		list = append(list, secret)
	}
	*to = list
	return nil
}

func plainSecret(v string) (Secret, error) { return Secret(v), checkText(v) }

func signingKey(v string) (Secret, error) {
	key, ok := strings.CutPrefix(v, signingPrefix)
	decoded, err := base64.StdEncoding.DecodeString(key)
	if !ok || err != nil || len(decoded) == 0 || checkText(v) != nil {
		return "", errors.New("it is no signing token; expected: whsec_ and base64, as GitLab shows it")
	}
	return Secret(v), nil
}

func encryptionKey(v string) (Secret, error) {
	key, err := base64.StdEncoding.DecodeString(v)
	if err != nil || len(key) != keyBytes {
		return "", errors.New("it is no key; expected: 32 bytes in base64, for example of `openssl rand -base64 32`")
	}
	return Secret(key), nil
}

func joinSecrets(list []Secret) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = s.Reveal()
	}
	return strings.Join(parts, ",")
}

func joinKeys(list []Secret) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = base64.StdEncoding.EncodeToString([]byte(s.Reveal()))
	}
	return strings.Join(parts, ",")
}

var slackUser = regexp.MustCompile(`^[UW][A-Za-z0-9_]+$`)

func setAdmins(c *Config, v string) error {
	var ids []string
	workspace := false
	for item := range strings.SplitSeq(v, ",") {
		switch item = strings.TrimSpace(item); {
		case item == workspaceAdmins:
			workspace = true
		case slackUser.MatchString(item):
			ids = append(ids, item)
		default:
			return fmt.Errorf("%q is no Slack user id; expected: ids such as U0123ABCD separated by commas, or %s", item, workspaceAdmins)
		}
	}
	c.Admins, c.WorkspaceAdmins = ids, workspace
	return nil
}

func adminList(c *Config) string {
	list := c.Admins
	if c.WorkspaceAdmins {
		list = append([]string{workspaceAdmins}, list...)
	}
	return strings.Join(list, ",")
}

func setCAFile(c *Config, v string) error {
	const expected = "expected: a readable file with certificates in PEM"
	if err := checkText(v); err != nil {
		return err
	}
	text, err := readBounded(v)
	if err != nil {
		return fmt.Errorf("%w; %s", err, expected)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // no list of the system's own; the file alone then decides
	}
	if !pool.AppendCertsFromPEM(text) {
		return fmt.Errorf("%s holds no certificate; %s", v, expected)
	}
	c.CAFile, c.CAPool, c.CAPEM = v, pool, certificates(text)
	return nil
}

// certificates are those of a PEM file alone: pods of builds see them, and a private key may stand beside.
func certificates(text []byte) (only []byte) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			only = append(only, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
		}
	}
	return only
}

func setLevel(to *slog.Level, v string) error {
	switch strings.ToLower(v) {
	case "debug", "info", "warn", "error":
		return to.UnmarshalText([]byte(v))
	}
	return fmt.Errorf("%q is no level; expected: debug, info, warn or error", v)
}

func setFormat(to *LogFormat, v string) error {
	switch f := LogFormat(strings.ToLower(v)); f {
	case LogText, LogJSON:
		*to = f
		return nil
	case LogAuto:
	}
	return fmt.Errorf("%q is no format; expected: text or json", v)
}
