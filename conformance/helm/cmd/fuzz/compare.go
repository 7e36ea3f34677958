package main

import (
	"regexp"
	"sort"
	"strings"

	"conformance/helm/internal/sdk"
)

// What is not compared, and why:
//
//   - The words of the YAML and TOML parsers after "yaml: " and "toml: ", which templates can see in what fromYaml and fromToml give back: both
//     parsers are other libraries than Helm's, and no chart can mean to depend on their complaints. That there is an error, and all text
//     before it and on other lines, is compared. Such cases are counted apart.
//   - Nesting and columns of error messages, which we word otherwise. The cause must be the same, and so must the line of the template, where
//     Helm names one in a file.
//   - The order of what schemas find wrong, which is random in Helm.

const (
	equal         = "rendered equal"
	equalButWords = "rendered equal but for a parser's words"
	sameReason    = "failed for the same reason"
	// refused is the verdict where a template asks for the present moment or for chance.
	refused = "refused, being random"
)

func rendered(verdict string) bool { return verdict == equal || verdict == equalButWords }

func agrees(verdict string) bool {
	return rendered(verdict) || verdict == sameReason || verdict == refused
}

// answer is one of ours.
type answer struct {
	sdk.Answer
	Diagnostics []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Place   string `json:"place"`
	} `json:"diagnostics"`
}

// parsing begins the words of a parser, which are its own, up to the end of the line.
var parsing = regexp.MustCompile(`(error converting YAML to JSON: yaml|toml): [^\n]*`)

func masked(text string) string { return parsing.ReplaceAllString(text, "$1") }

// runes replaces bytes that are not UTF-8, each, as the generator does.
func runes(text string) string { return string([]rune(text)) }

func compare(theirs sdk.Answer, ours answer) string {
	switch {
	case theirs.Error == "" && ours.Error == "":
		return compareTexts(theirs, ours.Answer)
	case strings.Contains(ours.Error, "error[nondeterministic]"):
		return refused
	case theirs.Error == "":
		return "only ours failed"
	case ours.Error == "":
		return "only Helm failed"
	case !isSameCause(theirs.Error, ours):
		return "failed for another reason"
	case !isSamePlace(theirs.Error, ours):
		return "failed in another place"
	default:
		return sameReason
	}
}

func compareTexts(theirs, ours sdk.Answer) string {
	verdict := equal
	texts := map[string][2]string{"the stream": {theirs.Stream, ours.Stream}}
	for name, text := range theirs.Files {
		if strings.HasSuffix(name, "NOTES.txt") && strings.Count(name, "/") > 2 {
			// Notes of subcharts are executed and thrown away.
			continue
		}
		other, ok := ours.Files[name]
		if !ok {
			return "only Helm has " + name
		}
		texts[name] = [2]string{text, other}
	}
	for name := range ours.Files {
		if _, ok := theirs.Files[name]; !ok {
			return "only ours has " + name
		}
	}
	for _, pair := range texts {
		text, other := runes(pair[0]), pair[1]
		if text == other {
			continue
		}
		if masked(text) != masked(other) {
			return "rendered different"
		}
		verdict = equalButWords
	}
	return verdict
}

// violation is one line of what a schema finds wrong.
var violation = regexp.MustCompile(`(?m)^\s*- at '([^']*)': (.*)$`)

// thousands are set apart by commas in Helm.
var thousands = regexp.MustCompile(`(\d),(\d)`)

func isSameCause(theirs string, ours answer) bool {
	if strings.Contains(theirs, "\n- at '") {
		var helm, own []string
		for _, found := range violation.FindAllStringSubmatch(theirs, -1) {
			helm = append(helm, thousands.ReplaceAllString(found[2], "$1$2"))
		}
		for _, d := range ours.Diagnostics {
			_, words, _ := strings.Cut(d.Message, ": ")
			own = append(own, words)
		}
		sort.Strings(helm)
		sort.Strings(own)
		return strings.Join(helm, "\n") == strings.Join(own, "\n")
	}
	want := cause(theirs)
	if len(ours.Diagnostics) == 0 {
		return matches(ours.Error, want)
	}
	for _, d := range ours.Diagnostics {
		if matches(d.Message, want) {
			return true
		}
	}
	return false
}

// inText is what our messages add where the text given to tpl is at fault.
var inText = regexp.MustCompile("(?s), at `.*` in line \\d+ of the text given to \\w+$")

// matches reports whether a message of ours is the cause that Helm gives, after the name of the function at most.
func matches(message, want string) bool {
	message = strings.TrimSpace(inText.ReplaceAllString(message, ""))
	if masked(message) == masked(want) {
		return true
	}
	_, words, found := strings.Cut(message, ": ")
	return found && masked(words) == masked(want)
}

// places are those that Helm names in its traces.
var placeOfTrace = regexp.MustCompile(`(?m)^(\S+?):(\d+):\d+$|error at \((\S+?):(\d+)(?::\d+)?\): |template: (\S+?):(\d+):\d+: executing`)

// isSamePlace compares the innermost place that Helm names and that lies in a file.
func isSamePlace(theirs string, ours answer) bool {
	file, line := "", ""
	for _, found := range placeOfTrace.FindAllStringSubmatch(theirs, -1) {
		for i := 1; i < len(found); i += 2 {
			if strings.Contains(found[i], "/templates/") {
				file, line = found[i], found[i+1]
			}
		}
	}
	if file == "" {
		return true
	}
	for _, d := range ours.Diagnostics {
		parts := strings.Split(d.Place, ":")
		// The folder of a chart may have another name than the chart.
		if len(parts) > 1 && parts[1] == line && file[strings.LastIndex(file, "/templates/"):] == parts[0][max(strings.LastIndex(parts[0], "/templates/"), 0):] {
			return true
		}
	}
	return false
}

// cause returns what Helm's message says went wrong, without its nesting and places.
func cause(message string) string {
	message = strings.TrimSpace(message)
	if head, ok := strings.CutPrefix(message, "YAML parse error on "); ok {
		path, words, _ := strings.Cut(head, ": ")
		kind, _, _ := strings.Cut(words, ": ")
		return "YAML parse error on " + path + ": " + kind
	}
	for _, head := range []string{"execution error at (", "parse error at ("} {
		if rest, ok := strings.CutPrefix(message, head); ok {
			_, message, _ = strings.Cut(rest, "): ")
			return strings.TrimSpace(message)
		}
	}
	for _, nesting := range nestings {
		if at := nesting.FindAllStringIndex(message, -1); at != nil {
			message = message[at[len(at)-1][1]:]
		}
	}
	return strings.TrimSpace(message)
}

// nestings are what Helm puts before a cause, from the outside in.
var nestings = []*regexp.Regexp{
	regexp.MustCompile(`\n  executing "[^"]*" at <(?s:.*?)>:\n    `),
	regexp.MustCompile(`template: \S+:\d+:\d+: executing "[^"]*" at <(?s:.*?)>: `),
	regexp.MustCompile(`error calling \w+:\s+`),
	regexp.MustCompile(`(?s)^cannot parse template ".*": template: \S+: `),
}
