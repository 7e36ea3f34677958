package main

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"conformance/helm/internal/sdk"
)

// runsOfHelm is how often Helm gets to render a case that differs.
const runsOfHelm = 60

// retry puts a case that differs to the tests that compare.go lists, and returns its verdict.
func retry(verdict string, request sdk.Request, theirs sdk.Answer, ours answer, helm, subject *process) string {
	if ours.Error == "" && theirs.Error == "" {
		if same(theirs, ours, func(text string) string { return pointer.ReplaceAllString(text, "0x") }) {
			return addresses
		}
		if isOneOfTheirs(request, theirs, ours, helm) {
			return random
		}
		for name, text := range theirs.Files {
			if strings.Contains(text, nilLocation) && !strings.Contains(ours.Files[name], nilLocation) {
				return hidden
			}
			if runes(text) != ours.Files[name] && strings.Contains(strings.Join(strings.Fields(unpacked(text)), " "), tabAtStart) {
				return tabbed
			}
		}
	}
	if plain, ok := without(request); ok && agreesOn(plain, helm, subject) {
		return unlike
	}
	if theirs.Error != "" && ours.Error != "" && hasOtherFault(request, ours, helm) {
		return faults
	}
	return verdict
}

// nilLocation is the last hidden field of a time, as verbs of printf that no time knows print it.
const nilLocation = "(*time.Location=<nil>)"

// tabAtStart are the words of Helm's reader about a tab at the beginning of a block scalar.
const tabAtStart = "found a tab character where an indentation space is expected"

// pointer is an address that Go prints.
var pointer = regexp.MustCompile("0x[0-9a-f]{9,}")

// same reports whether all texts are equal once they are mapped.
func same(theirs sdk.Answer, ours answer, mapped func(string) string) bool {
	if len(theirs.Files) != len(ours.Files) || mapped(runes(theirs.Stream)) != mapped(ours.Stream) {
		return false
	}
	for name, text := range theirs.Files {
		if mapped(runes(text)) != mapped(ours.Files[name]) {
			return false
		}
	}
	return true
}

// isOneOfTheirs reports whether Helm renders every text as we do in one run or another.
func isOneOfTheirs(request sdk.Request, first sdk.Answer, ours answer, helm *process) bool {
	missing := map[string]bool{}
	for name, text := range first.Files {
		if strings.HasSuffix(name, "NOTES.txt") && strings.Count(name, "/") > 2 {
			continue
		}
		if other, ok := ours.Files[name]; !ok {
			return false
		} else if runes(text) != other {
			missing[name] = true
		}
	}
	// The order of CRDs is that of the subcharts, which comes out of a map of Go's.
	isStreamMissing := runes(first.Stream) != ours.Stream
	for range runsOfHelm {
		var next sdk.Answer
		if helm.render(request, &next) != nil || next.Error != "" {
			return false
		}
		for name := range maps.Clone(missing) {
			if runes(next.Files[name]) == ours.Files[name] {
				delete(missing, name)
			}
		}
		if runes(next.Stream) == ours.Stream {
			isStreamMissing = false
		}
		if len(missing) == 0 && !isStreamMissing {
			return true
		}
	}
	return false
}

// packed is what may be a text in base64.
var packed = regexp.MustCompile(`[A-Za-z0-9+/]{24,}={0,2}`)

// unpacked decodes what is in base64.
func unpacked(text string) string {
	return packed.ReplaceAllStringFunc(text, func(found string) string {
		if data, err := base64.StdEncoding.DecodeString(found); err == nil {
			return string(data)
		}
		return found
	})
}

// special are the characters that our reader of YAML refuses, as they are and as JSON, YAML and Go write them.
var special = regexp.MustCompile(`[\x{85}\x{2028}\x{2029}\x{feff}\x{7f}]|\\u(0085|2028|2029|feff|FEFF|007f)|\\[NLP]|\\x(85|7f)`)

// without returns the request with a letter in the place of each such character, where it has any and reads YAML while it renders.
func without(request sdk.Request) (sdk.Request, bool) {
	data, err := json.Marshal(request.Files)
	if err != nil || !strings.Contains(string(data), "fromYaml") {
		return request, false
	}
	replaced := false
	plain := func(text string) string {
		other := special.ReplaceAllString(text, "w")
		replaced = replaced || other != text
		return other
	}
	files := map[string]string{}
	for name, text := range request.Files {
		files[name] = plain(text)
	}
	layers := slices.Clone(request.Layers)
	for i, text := range layers {
		layers[i] = plain(text)
	}
	request.Files, request.Layers = files, layers
	return request, replaced
}

func agreesOn(request sdk.Request, helm, subject *process) bool {
	var theirs sdk.Answer
	var ours answer
	return helm.render(request, &theirs) == nil && subject.render(request, &ours) == nil && agrees(compare(theirs, ours))
}

// hasOtherFault reports whether Helm fails for our reason once the flags of --set, or the first of them, are left out.
func hasOtherFault(request sdk.Request, ours answer, helm *process) bool {
	bare := request
	bare.Set, bare.SetString, bare.SetJSON, bare.SetLiteral = nil, nil, nil, nil
	variants := []sdk.Request{bare}
	for i := 1; i < len(request.Set); i++ {
		later := request
		later.Set = request.Set[i:]
		variants = append(variants, later)
	}
	for _, variant := range variants {
		var theirs sdk.Answer
		if helm.render(variant, &theirs) == nil && theirs.Error != "" && compare(theirs, ours) == sameReason {
			return true
		}
	}
	return false
}
