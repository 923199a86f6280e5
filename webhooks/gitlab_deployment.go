package webhooks

import (
	"cmp"
	"errors"
	"path"
	"strconv"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// deploymentHook is the body of a deployment event.
type deploymentHook struct {
	ID             number `json:"deployment_id"`
	Status         word   `json:"status"`
	ChangedAt      moment `json:"status_changed_at"`
	JobURL         link   `json:"deployable_url"` // null where no job deploys
	Environment    text   `json:"environment"`
	EnvironmentURL link   `json:"environment_external_url"`
	Ref            text   `json:"ref"`
	ShortSHA       text   `json:"short_sha"`
	CommitURL      link   `json:"commit_url"`
	CommitTitle    text   `json:"commit_title"`
	User           user   `json:"user"`
	Approver       user   `json:"approver"` // of the events of approvals alone
	Approval       struct {
		Comment   text   `json:"comment"`
		CreatedAt moment `json:"created_at"`
	} `json:"approval"`
	Project project `json:"project"`
}

// Words in the status of a deployment that are none of its states: somebody has said something of it.
const (
	deploymentApproved = "approved"
	deploymentRejected = "rejected"
)

// maxRemark bounds what somebody says when they approve, in bytes.
const maxRemark = 500

// decodeDeployment reads a deployment event; all that it cannot do without is the id.
func decodeDeployment(body []byte, h *hook) error {
	var d deploymentHook
	if err := tolerantly(body, &d); err != nil {
		return err // unreachable: the envelope was read from the same bytes
	}
	if d.ID <= 0 {
		return errors.New("the deployment's id is missing")
	}
	s := kovra.Subject{
		Kind: kovra.SubjectDeployment, Key: strconv.FormatInt(int64(d.ID), 10),
		Title: kovra.FirstLine(string(d.CommitTitle)), URL: cmp.Or(string(d.JobURL), string(d.CommitURL)), By: d.User.person(),
		Ref: string(d.Ref), SHA: d.commit(), State: string(d.Status),
		Environment: string(d.Environment), EnvironmentURL: string(d.EnvironmentURL), JobURL: string(d.JobURL),
		UpdatedAt: firstTime(d.ChangedAt, moment(h.at)),
	}
	switch d.Status {
	case deploymentApproved, deploymentRejected:
		s.State = ""
		if by := cmp.Or(d.Approver.person(), d.User.person()); by != (kovra.GitLabUser{}) {
			s.Approvals = []kovra.Approval{{
				By: by, Approved: d.Status == deploymentApproved, Note: cut(string(d.Approval.Comment), maxRemark),
				At: firstTime(d.Approval.CreatedAt, moment(h.at)),
			}}
			s.MovedAt = h.at
		}
	case "", word(kovra.Created), word(kovra.Skipped):
	default:
		s.MovedAt = h.at
	}
	if s.State == string(kovra.Created) {
		s.CreatedAt = time.Time(d.ChangedAt)
	}
	h.subjects = append(h.subjects, s)
	return nil
}

// commit is the whole id of the commit, which only the address of its page has.
func (d *deploymentHook) commit() string {
	if id, _ := commitID(text(path.Base(string(d.CommitURL)))); id != "" {
		return id
	}
	return cut(string(d.ShortSHA), quoted)
}
