package storage

import "time"

const (
	forgottenAtOnce = 200 // runs, and builds, of one transaction
	// The newest of an app stay however old they are: what is deployed was built by one of them, and a roll back leads to one.
	buildsKept      = 100
	deploymentsKept = 20
)

// PruneHistory forgets what ended before a time, some of it at once: finished runs with their jobs, builds with their
// deployments, the threads of both, and what people did. Messages in Slack stay as they are; nobody edits them any more. It returns how
// much it forgot; 0: there is no more.
func (tx *Tx) PruneHistory(before time.Time) (int, error) {
	runs, err := list(tx, scanID, "SELECT id FROM runs WHERE final = 1 AND observed_at < ? ORDER BY observed_at LIMIT ?", stamp(before), forgottenAtOnce)
	if err != nil {
		return 0, err
	}
	for _, id := range runs {
		if err := tx.forgetRun(id); err != nil {
			return 0, err
		}
	}
	builds, err := tx.oldBuilds(before)
	if err != nil {
		return 0, err
	}
	for _, id := range builds {
		if err := tx.forgetBuild(id); err != nil {
			return 0, err
		}
	}
	res, err := tx.exec(`DELETE FROM actions WHERE id IN
		(SELECT id FROM actions WHERE finished_at <> 0 AND finished_at < ? AND answered <> 0 LIMIT ?)`, stamp(before), prunedAtOnce)
	if err != nil {
		return 0, err
	}
	actions, err := res.RowsAffected()
	return len(runs) + len(builds) + int(actions), err
}

func (tx *Tx) forgetRun(id int64) error {
	return tx.execAll([]string{
		"DELETE FROM slots WHERE thread IN (SELECT id FROM threads WHERE run = ?)",
		"DELETE FROM threads WHERE run = ?",
		"DELETE FROM jobs WHERE run = ?",
		"DELETE FROM runs WHERE id = ?",
	}, id)
}

// oldBuilds are builds to forget, oldest first. The time of an end is in the document, and builds end about in the order of
// their numbers, so the first that is young ends the search.
func (tx *Tx) oldBuilds(before time.Time) ([]int64, error) {
	found, err := list(tx, tx.scanBuild, "SELECT "+buildColumns+` FROM builds WHERE final = 1
		AND EXISTS (SELECT 1 FROM builds n WHERE n.app = builds.app AND n.id > builds.id LIMIT 1 OFFSET ?)
		AND id NOT IN (SELECT d.build FROM deployments d WHERE d.app = builds.app ORDER BY d.id DESC LIMIT ?)
		ORDER BY id LIMIT ?`, buildsKept-1, deploymentsKept, forgottenAtOnce)
	var old []int64
	for _, b := range found {
		if !b.FinishedAt.Before(before) {
			break
		}
		old = append(old, b.ID)
	}
	return old, err
}

func (tx *Tx) forgetBuild(id int64) error {
	return tx.execAll([]string{
		"DELETE FROM slots WHERE thread IN (SELECT id FROM threads WHERE build = ? AND build <> 0)",
		"DELETE FROM threads WHERE build = ? AND build <> 0",
		"DELETE FROM deployments WHERE build = ?",
		"DELETE FROM builds WHERE id = ?",
	}, id)
}

// execAll executes statements about one row.
func (tx *Tx) execAll(statements []string, id int64) error {
	for _, s := range statements {
		if _, err := tx.exec(s, id); err != nil {
			return err
		}
	}
	return nil
}
