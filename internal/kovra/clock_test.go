package kovra

import (
	"testing"
	"time"
)

func TestLeft(t *testing.T) {
	began := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct{ passed, want time.Duration }{
		"just begun":          {0, time.Minute},
		"half over":           {30 * time.Second, 30 * time.Second},
		"over":                {time.Minute, 0},
		"set forward a day":   {24 * time.Hour, 0},
		"read in wrong order": {-time.Millisecond, time.Minute},
		"set back":            {-2 * time.Hour, 0},
	} {
		if got := Left(began, time.Minute, began.Add(tt.passed)); got != tt.want {
			t.Errorf("%s: %v is left, want %v", name, got, tt.want)
		}
	}
}
