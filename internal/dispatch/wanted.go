package dispatch

import "kovra.dev/chatops/storage"

// WantedEvents are what the webhook of a project must send beside those of pipelines, jobs and pushes, as apps and channels
// want it now.
func WantedEvents(tx *storage.Tx, project int64) (HookEvents, error) { return eventsOf(tx, project) }
