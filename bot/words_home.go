package bot

// The sentences of App Home; see words.go. They are mrkdwn, and what is put into them is escaped before.
const (
	labelApps = "Apps"

	saysHomeWelcome   = "*Pipelines and builds of your apps*"
	saysHomeGone      = "*%s* is not here any more, or you may not see it."
	saysHomeMore      = "and %d more; choose one above"
	saysHomeNoBuilds  = "Builds are off: %s."
	saysHomeWaits     = "I keep asking; this page fills by itself."
	saysLinkedAlone   = "A channel that wants to hear of it types `/kovra subscribe %s`."
	saysProjectAtHome = "Which GitLab project is *%[1]s*? A channel that wants to hear of it types `/kovra subscribe %[1]s`."
)

// saysHomeEmpty is what somebody reads who sees no app: what to type, and where.
var saysHomeEmpty = []string{
	"There is no app here for you yet. You see an app once you are in a channel that hears of it.",
	"• Your app is here already? Join its channel, or ask for `/kovra subscribe` in yours.",
	"• It is new? In the channel that wants to hear of it an administrator types `/kovra link web group/web`.",
	"• All commands: `/kovra help`, in any channel.",
}
