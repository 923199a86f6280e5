package tekton

import (
	"log/slog"

	"k8s.io/klog/v2"
)

// LogTo sends what client-go logs by itself, about watches that broke and the like, to log. It is for the whole program: main calls
// it once, before anything runs.
func LogTo(log *slog.Logger) { klog.SetSlogLogger(log) }
