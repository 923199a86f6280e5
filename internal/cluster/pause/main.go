// Command pause is what a pod's sandbox runs: it does nothing until it is told to
// end, and so keeps the namespaces that the pod's containers share.
package main

import (
	"context"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
}
