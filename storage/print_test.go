package storage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
)

// hide shows what a finder finds.
func hide(f *Finder, text string) string {
	var out strings.Builder
	from := 0
	for _, p := range f.Find(text) {
		out.WriteString(text[from:p[0]] + "#")
		from = p[1]
	}
	return out.String() + text[from:]
}

func TestFingerprints(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	with := func(keys ...[]byte) *DB {
		p := path + string('a'+rune(len(keys)))
		return openAt(t, Options{Path: p, Key: keys})
	}
	old, rotated, other, none := with(key(1)), with(key(2), key(1)), with(key(3), key(4), key(5)), with()
	mark := old.Print("hunter2")
	if mark.Sum == "" || mark.Roll == 0 || mark.Len != 7 || mark != old.Print("hunter2") {
		t.Errorf("print %+v", mark)
	}
	if again := rotated.Print("hunter2"); again.Sum == mark.Sum || again.Roll == mark.Roll {
		t.Error("two keys give the same print")
	}
	slow := mark
	slow.Roll = 0
	for _, c := range []struct {
		name  string
		db    *DB
		value string
		want  bool
	}{
		{"the same", old, "hunter2", true},
		{"another value", old, "hunter3", false},
		{"after a rotation", rotated, "hunter2", true},
		{"other keys", other, "hunter2", false},
		{"no key", none, "hunter2", false},
	} {
		for _, p := range []kovra.Print{mark, slow} {
			f := c.db.Finder([]kovra.Print{p})
			for range 2 { // the second time the value is known
				if got := len(f.Find("hunter, "+c.value+"!")) == 1; got != c.want {
					t.Errorf("%s, roll %x: known %t, want %t", c.name, p.Roll, got, c.want)
				}
			}
		}
	}
	if got := none.Print("hunter2"); got != (kovra.Print{Len: 7}) || !old.Finder([]kovra.Print{got}).Empty() {
		t.Errorf("without a key: print %+v", got)
	}
}

func TestFinderPlaces(t *testing.T) {
	db := openNew(t)
	all := func(values ...string) *Finder {
		var prints []kovra.Print
		for _, v := range values {
			prints = append(prints, db.Print(v))
		}
		slow := prints[0]
		slow.Roll = 0 // an old print of the same value changes nothing
		return db.Finder(append(prints, prints[0], slow))
	}
	for _, c := range []struct{ name, text, want string }{
		{"none", "nothing", "nothing"},
		{"empty", "", ""},
		{"shorter than any", "abc", "abc"},
		{"alone", "s3cret-väl", "#"},
		{"at both ends", "s3cret-väl s3cret-väl", "# #"},
		{"touching", "s3cret-väls3cret-väl", "##"},
		{"near misses", "s3cret-väm S3cret-väl 3cret-väl s3cret-vä", "s3cret-väm S3cret-väl 3cret-väl s3cret-vä"},
		{"another of the same length", "xs3cret-walx", "x#x"},
		{"a part of a longer one", "tokens: prefix-0 and prefix-0-more", "tokens: # and #"},
		{"overlapping itself", "aaaaaaaaaaab", "#b"},
		{"overlapping another", "-prefix-0-morels", "-#s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := all("s3cret-väl", "s3cret-wal", "prefix-0", "prefix-0-more", "aaaaaa", "morel")
			if diff := cmp.Diff(c.want, hide(f, c.text)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A value is found wherever it stands in a text of many blocks.
func TestFinderInLongTexts(t *testing.T) {
	db := openNew(t)
	short, long := "s3cret-value", strings.Repeat("0123456789", 100)+"!"
	f := db.Finder([]kovra.Print{db.Print(short), db.Print(long)})
	for _, value := range []string{short, long} {
		for at := 0; at < 4*finderBlock; at += 61 {
			text := strings.Repeat("x", at) + value + strings.Repeat("y", 5*finderBlock)
			if diff := cmp.Diff([][2]int{{at, at + len(value)}}, f.Find(text)); diff != "" {
				t.Fatalf("%d bytes at %d: -want +got:\n%s", len(value), at, diff)
			}
		}
	}
	if got := cap(f.rolled); got > 16*finderBlock {
		t.Errorf("%d hashes are held", got)
	}
}

// FuzzFinder puts a value anywhere in a text: it is found there, and where it is not nothing is.
func FuzzFinder(f *testing.F) {
	f.Add("before ", "s3cret-value", " after", byte(1), 3)
	f.Add("", "aaaaaa", "aaaaa", byte(0), 0)
	f.Add("\x00\xff", "\x00\x00\x00\x00\x00\x00", "\x00", byte(255), 5)
	db, before := keyed(f, key(2), key(1)), keyed(f, key(1))
	f.Fuzz(func(t *testing.T, left, value, right string, change byte, at int) {
		if value == "" || len(left)+len(value)+len(right) > 1<<12 {
			return
		}
		for _, by := range []*DB{db, before} {
			finder := db.Finder([]kovra.Print{by.Print(value), by.Print(value + "!"), by.Print(value + "?")})
			text := left + value + right
			covered := false
			for _, p := range finder.Find(text) {
				covered = covered || p[0] <= len(left) && p[1] >= len(left)+len(value)
			}
			if !covered {
				t.Fatalf("%q is not found in %q", value, text)
			}
			miss := []byte(text)
			miss[len(left)+max(at, -at-1)%len(value)] ^= change
			places := finder.Find(string(miss))
			if held := strings.Contains(string(miss), value); held != (len(places) > 0) {
				t.Fatalf("%q in %q: found %v", value, miss, places)
			}
			shown := hide(finder, string(miss))
			if strings.Contains(shown, value) && !strings.Contains(value, "#") {
				t.Fatalf("%q shows in %q", value, shown)
			}
		}
	})
}

func BenchmarkFinder(b *testing.B) {
	db := keyed(b, key(1))
	for _, n := range []int{1, 10} {
		var prints []kovra.Print
		for i := range n {
			prints = append(prints, db.Print(strings.Repeat("v", 8+3*i)))
		}
		slow := prints[0]
		slow.Roll = 0
		log := logOf(100 << 20)
		run := func(name string, prints []kovra.Print, log [][]byte, size int) {
			b.Run(fmt.Sprintf("%s-%d", name, n), func(b *testing.B) {
				b.SetBytes(int64(size))
				f := db.Finder(prints)
				for b.Loop() {
					for _, line := range log {
						if len(f.Find(string(line))) > 0 {
							b.Fatal("found")
						}
					}
				}
			})
		}
		run("prints", prints, log, 100<<20)
		if n == 1 {
			run("old", []kovra.Print{slow}, log[:10_000], 10_000*101)
		}
	}
}

// logOf is about size bytes of lines of a hundred bytes.
func logOf(size int) [][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < size {
		fmt.Fprintf(&b, "npm http fetch GET 200 https://registry.example.com/package-%08d %04d ms (cache hit) and what else\n",
			rnd.IntN(1e8), rnd.IntN(1e4))
	}
	return bytes.Split(bytes.TrimSpace(b.Bytes()), []byte("\n"))
}
