package storage

import (
	"fmt"

	"kovra.dev/chatops/internal/kovra"
)

// operatorKey begins the key of who works at the command line; no id of Slack has a colon.
const operatorKey = "cli:"

// personKey is the one text by which the actions of a person are found; "" for who spoke in GitLab.
func personKey(p kovra.Person) string {
	if p.IsOperator() {
		return operatorKey + p.Operator
	}
	return p.ID
}

// ofOperators are the actions of the command line that have not ended.
const ofOperators = " FROM actions WHERE (state = 'wanted' OR state = 'tried') AND person LIKE 'cli:%'"

// OperatorActions returns what was asked for at the command line and has not ended, oldest first.
func (tx *Tx) OperatorActions() ([]kovra.Action, error) {
	return list(tx, tx.scanAction, "SELECT "+actionColumns+ofOperators+" ORDER BY id")
}

// OperatorTurn reports whether an action of the command line may begin: what was asked for there before with the same app
// has ended; with alone, with whatever app. [Tx.FinishAction] wakes the next.
func (tx *Tx) OperatorTurn(a kovra.Action, alone bool) (bool, error) {
	before, err := tx.int("SELECT 1"+ofOperators+" AND id < ?1 AND (app = ?2 OR ?3) LIMIT 1", a.ID, a.App, flag(alone))
	if err != nil {
		return false, fmt.Errorf("look for what comes before action %d: %w", a.ID, err)
	}
	return before == 0, nil
}

// wakeOperators has those looked at that may have waited for an action of the command line: the next one with its app, and the
// oldest of all.
func (tx *Tx) wakeOperators(ended kovra.Action) error {
	if !ended.By.IsOperator() {
		return nil
	}
	for _, which := range []string{" AND app = ?1 ORDER BY id LIMIT 1", " AND ?1 <> '' ORDER BY id LIMIT 1"} {
		ids, err := list(tx, scanID, "SELECT id"+ofOperators+which, ended.App)
		if err != nil {
			return fmt.Errorf("look for what follows action %d: %w", ended.ID, err)
		}
		for _, id := range ids {
			tx.touch(kovra.RefAction, id)
		}
	}
	return nil
}
