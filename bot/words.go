package bot

// Every sentence of the bot is in this file, so that it speaks with one voice: short,
// calm, and with the next step in it. Sentences named says… are plain text for
// [kovra.Error]; they are escaped where they are shown.
const (
	saysUnknownGroup = "There is no command /%s. Try /kovra help."
	saysOpenQuote    = "A quote is not closed near %q. Example: /pipeline run web main NOTE=\"a b\""
	saysTooFew       = "%s Write %s. Example: %s"
	saysTooMany      = "%q is one word too many. Write %s. Example: %s"
	saysBadVariable  = "%q cannot be the name of a variable: it has letters, digits and _, and starts with a letter or _. Example: /pipeline run web main ENV=staging"
	saysBadInput     = "%q cannot be the name of an input. Example: /pipeline run web main input:environment=staging"
	saysTwice        = "%s is given twice. Give it once."
	saysNoPair       = "%q has no =. Write one KEY=VALUE a line."
	saysBadBroadcast = "%q is not known. Write broadcast:on, broadcast:off or broadcast:all."
	saysNearVerb     = "%s has no command %q. Did you mean %s? Example: %s"
	saysUnknownVerb  = "%s has no command %q. All commands: %s"
	saysChoose       = "Which app?"
	saysNoApps       = "There is no app yet. An administrator links one with: /kovra link web group/web"
	saysNearApp      = "There is no app %q. Did you mean %s? All apps: /kovra apps"
	saysUnknownApp   = "There is no app %q. All apps: /kovra apps"
	saysAppButNoID   = "%s is an app. %s Example: %s"
	saysBadID        = "%q is not an id. Give a number, #number or the address from GitLab. Example: %s"
	saysOtherURL     = "That is the address of a %s. %s Example: %s"
	saysBadProject   = "%q is not a GitLab project. Give its path or its address. Example: /kovra link web group/web"
	saysOldButton    = "This button is from an older message that I do not understand any more. Ask again with /pipeline."
)
