package main

import (
	"maps"
	"regexp"
	"runtime"
	"slices"
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
//   - Texts with U+0085, U+2028, U+2029 or a byte order mark in the middle of YAML, which our reader refuses because YAML 1.1 and 1.2 read them
//     differently. Such cases are counted apart.
//   - The order in which toYaml writes keys that begin with a zero and a digit, which is random in Helm: such keys are not grown.
//   - The sign of a float that is zero (-0.0), which our reader drops.
//   - The order of what schemas find wrong, which is random in Helm.
//
// A case that differs is looked at again (retry.go), and counted apart where the reason is one of these. All but the addresses, the tab and the
// hidden fields are put to the test by rendering again; those three go by what Helm's answer says, and can hide a second difference in the same
// case.
//
//   - Helm itself renders the case in several ways, one of them ours: toYaml sorts keys such as "10", "1e3" and "2" by an order that is none,
//     and the CRDs of subcharts come in the order of a map of Go's.
//   - Helm prints the address of a pointer, and all else is equal.
//   - YAML characters that our reader refuses stand in a text that goes through fromYaml, and without them both agree.
//   - Helm's reader refuses a tab at the beginning of a block scalar, which ours reads.
//   - A verb of printf that is none for a time prints its hidden fields in Helm.
//   - The case has two faults, and Helm finds another one first: without the flags of --set both fail for the same reason.

const (
	equal         = "rendered equal"
	equalButWords = "rendered equal but for a parser's words"
	sameReason    = "failed for the same reason"
	// refused is the verdict where a template asks for the present moment or for chance.
	refused = "refused, being random"
	// unlike is the verdict where a document has characters that readers of YAML understand differently.
	unlike = "refused, being YAML that readers differ about"
	// random is the verdict where Helm renders the case in several ways, and in one of them as we do.
	random = "rendered as Helm does in another run"
	// addresses is the verdict where nothing differs but the addresses of pointers.
	addresses = "rendered equal but for the addresses of pointers"
	// tabbed is the verdict where Helm's reader refuses a tab at the beginning of a block scalar.
	tabbed = "read, with a tab that Helm's reader refuses"
	// hidden is the verdict where Helm prints the hidden fields of a time.
	hidden = "rendered different, in the hidden fields of a time"
	// faults is the verdict where the case has two faults, and each finds another one first.
	faults = "failed, of two faults for the other one"
)

func rendered(verdict string) bool { return verdict == equal || verdict == equalButWords }

func agrees(verdict string) bool {
	return rendered(verdict) || slices.Contains([]string{sameReason, refused, unlike, random, addresses, tabbed, hidden, faults}, verdict)
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

// runes replaces bytes that are not UTF-8, each, as the generator does, and the version of Go at hand by the one that ours names.
func runes(text string) string {
	return strings.ReplaceAll(string([]rune(text)), runtime.Version(), "go1.26.6")
}

func compare(theirs sdk.Answer, ours answer) string {
	switch {
	case strings.Contains(ours.Error, "error[nondeterministic]"):
		return refused
	case ambiguous(ours.Error) || slices.ContainsFunc(slices.Collect(maps.Values(ours.Files)), ambiguous):
		return unlike
	case theirs.Error == "" && ours.Error == "":
		return compareTexts(theirs, ours.Answer)
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

// ambiguous reports whether a text has our words about such characters.
func ambiguous(text string) bool {
	return strings.Contains(text, "ends a line in YAML 1.1") || strings.Contains(text, "a byte order mark is allowed at the very start only")
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

// steady sorts the names in what a schema finds wrong, which come in the random order of Go's maps.
func steady(text string) string {
	head, names, ok := strings.Cut(text, "additional properties ")
	names, isEnd := strings.CutSuffix(names, " not allowed")
	if !ok || !isEnd {
		return text
	}
	parts := strings.Split(names, ", ")
	sort.Strings(parts)
	return head + strings.Join(parts, ", ")
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
		for _, texts := range [][]string{helm, own} {
			for i, text := range texts {
				texts[i] = steady(text)
			}
		}
		sort.Strings(helm)
		sort.Strings(own)
		return strings.Join(helm, "\n") == strings.Join(own, "\n")
	}
	if strings.HasPrefix(theirs, "failed parsing --set-json data ") {
		// Helm gives the argument and no reason.
		return len(ours.Diagnostics) == 0 || ours.Diagnostics[0].Code == "bad-value-path"
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
	if masked(message) == masked(want) || cause(message) == want {
		return true
	}
	if want == "cannot load values.yaml" && strings.HasPrefix(message, want) {
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
	message = unpacking.ReplaceAllString(strings.TrimSpace(message), "")
	if head, ok := strings.CutPrefix(message, "YAML parse error on "); ok {
		path, words, _ := strings.Cut(head, ": ")
		kind, _, _ := strings.Cut(words, ": ")
		return "YAML parse error on " + path + ": " + kind
	}
	if _, words, ok := strings.Cut(message, "cannot load values.yaml: "); ok {
		// The words after are those of the parser.
		if strings.Contains(words, "error converting YAML to JSON: yaml") {
			return "cannot load values.yaml"
		}
	}
	if found := flagOfSet.FindStringIndex(message); found != nil && found[0] == 0 {
		return strings.TrimSpace(message[found[1]:])
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

// unpacking begins a message about a subchart.
var unpacking = regexp.MustCompile(`^(error unpacking subchart \S+ in \S+: )+`)

// flagOfSet begins a message about an argument of --set and its relatives.
var flagOfSet = regexp.MustCompile(`^failed parsing --set\S* data(?: JSON)?:? `)

// nestings are what Helm puts before a cause, from the outside in.
var nestings = []*regexp.Regexp{
	regexp.MustCompile(`\n  executing "[^"]*" at <(?s:.*?)>:\n    `),
	regexp.MustCompile(`template: \S+:\d+:\d+: executing "[^"]*" at <(?s:.*?)>: `),
	regexp.MustCompile(`error calling \w+:\s+`),
	regexp.MustCompile(`(?s)^cannot parse template ".*": template: \S+: `),
}
