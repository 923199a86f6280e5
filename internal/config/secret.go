package config

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that must not be seen. It prints as dots in every verb of
// fmt, in slog, JSON, YAML and text; an empty one prints as nothing. Only Reveal
// gives it away. Keep it in exported fields: fmt cannot ask the methods of
// unexported ones.
type Secret string

const dots = "••••••"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns dots.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return dots
}

// Format writes dots, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue returns dots.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns dots. It serves JSON and YAML too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
