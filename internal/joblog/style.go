package joblog

// Style is how a part of a line looks: colours out of sixteen, and marks. The zero
// value is plain.
//
//	bits 0-4   text colour: 0 none, 1 to 16 (black, red, green, yellow, blue, magenta, cyan, white, then the bright ones)
//	bits 5-9   background, likewise
//	bit 10     bold
//	bit 11     dim
//	bit 12     italic
//	bit 13     underlined
//	bit 14     struck through
type Style uint16

// Span says how a part of a line looks. From and To are bytes of its text.
type Span struct {
	From, To int
	Style    Style
}
