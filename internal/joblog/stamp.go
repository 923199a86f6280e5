package joblog

// stampBytes is the length of the stamp with microseconds, which runners have
// written since 18.4.
const stampBytes = 32

// stamp is what precedes the text of a line in the stamped format:
//
//	2026-05-28T22:02:12.634090Z 00O+text
//
// a UTC time with one to nine decimals, the stream's number in hex, its type
// (O or E), and + where the entry continues the one before it in that stream.
type stamp struct {
	ok     bool
	stream byte // 'O' or 'E'
	origin byte // 0: the runner; 1: the job's script; 15 and up: services
	more   bool
	length int
}

func parseStamp(b []byte) stamp {
	if len(b) < stampBytes-5 || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' || b[19] != '.' {
		return stamp{}
	}
	z := 26
	if b[z] != 'Z' {
		for z = 20; z < len(b) && z < 29 && isDigit(b[z]); z++ {
		}
	}
	if z == 20 || len(b) < z+6 || b[z] != 'Z' || b[z+1] != ' ' {
		return stamp{}
	}
	for _, i := range [...]int{0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20, z - 1} {
		if !isDigit(b[i]) {
			return stamp{}
		}
	}
	high, low := hexDigit(b[z+2]), hexDigit(b[z+3])
	kind, flag := b[z+4], b[z+5]
	if high > 15 || low > 15 || kind != 'O' && kind != 'E' || flag != ' ' && flag != '+' {
		return stamp{}
	}
	return stamp{ok: true, stream: kind, origin: high<<4 | low, more: flag == '+', length: z + 6}
}

// hexDigit gives the value of a hexadecimal digit, 255 for other bytes.
func hexDigit(c byte) byte {
	switch {
	case isDigit(c):
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
