package main

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"

	"conformance/helm/internal/sdk"
)

// grower grows one case out of its seed.
type grower struct {
	*rand.Rand
	// variables that are in scope, without their sign.
	variables []string
	// tame keeps out characters that our reader of manifests refuses knowingly, and Helm's own reader misreads.
	tame bool
	// faulty is set once something is put in that makes the case fail: one fault a case, so that it is the one that both report.
	faulty bool
	// inside counts the loops and withs around, where the dot is a value. Elsewhere it is everything, the build of Helm included.
	inside int
}

// grow returns the case of a seed, and the name of its kind.
func grow(seed uint64) (string, sdk.Request) {
	g := &grower{Rand: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))}
	switch g.IntN(10) {
	case 0, 1, 2, 3:
		return "calls", g.calls()
	case 4, 5, 6:
		return "whole charts", g.whole()
	case 7, 8:
		return "documents", g.documents()
	default:
		return "loose", g.loose()
	}
}

// loose returns a case that knows no types, so that failures of every kind are met.
func (g *grower) loose() sdk.Request {
	files := map[string]string{
		"values.yaml":            g.document(3),
		"templates/_helpers.tpl": g.helpers(),
		"templates/a.yaml":       g.body(1 + g.IntN(3)),
	}
	if g.one(8) {
		files["templates/b.yaml"] = g.body(1)
	}
	if g.one(8) {
		files["charts/sub/Chart.yaml"] = "apiVersion: v2\nname: sub\nversion: 0.1.0\n"
		files["charts/sub/values.yaml"] = g.document(2)
		files["charts/sub/templates/s.yaml"] = g.body(1)
	}
	request := sdk.Request{Files: files}
	if g.one(3) {
		request.Layers = append(request.Layers, g.document(2))
	}
	if g.one(6) {
		request.Layers = append(request.Layers, g.document(2))
	}
	return request
}

// fault says, once a case at most, that something wrong is to be put in.
func (g *grower) fault(in int) bool {
	if g.faulty || !g.one(in) || !g.one(3) {
		return false
	}
	g.faulty = true
	return true
}

// choice returns what is right, or else, now and then, what is wrong.
func (g *grower) choice(right, wrong []string) []string {
	if g.fault(8) {
		return wrong
	}
	return right
}

func (g *grower) one(in int) bool { return g.IntN(in) == 0 }

func pick[T any](g *grower, items []T) T { return items[g.IntN(len(items))] }

func sorted[T any](items map[string]T) []string {
	names := make([]string, 0, len(items))
	for name := range items {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

var keys = []string{"a", "b", "c", "list", "map", "num", "str", "flag", "sub", "global", "a-b", "10", "9", "Z"}

var scalars = strings.Split(`1 0 -1 3 42 1000000 999999 1234567.5 0.1 2.5 1e3 1e-7 12345678901234567890 0644 0x1F 1_000 010
true false yes no on null ~ "" text "a b" 'it''s' "1" "true" "1.5" " lead" "trail " "a: b" "#x" "- x" "é😀" "tab\there" "two\nlines\n"
"line\n" 2020-01-01 12:30:45 "{{ .Values.a }}" "{{ .Release.Name }}" "1.2.3" "v1.20.0-rc.1" ">=1.2" "a,b,c" "/a/b/../c.txt" "https://u:p@example.com:80/x?y=z#f"
"YWJj" "5m" "3661" "[a-z]+" "a.b.c" "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore"
"{\"j\": [1, null]}" "k: v" "<a&b>" "%d%s" "=" "*x" "&y" "!z" "|" ">" "?" "@" "null" "0o17" ".5" "1e3" "-" "é" "日本語"`, "\n")

var numbers = strings.Fields("0 1 -1 3 42 1000000 999999 1234567.5 0.1 2.5 1e3 1e-7 12345678901234567890 0644 -2.5 7 100 16777217")

// scalar returns a scalar of YAML.
func (g *grower) scalar() string {
	line := pick(g, scalars)
	var items []string
	for rest := line; rest != ""; {
		var item string
		item, rest = cutScalar(rest)
		items = append(items, item)
	}
	return pick(g, items)
}

// cutScalar cuts the first scalar off a line; quotes keep blanks together.
func cutScalar(line string) (string, string) {
	end := strings.IndexByte(line, ' ')
	if line[0] == '"' || line[0] == '\'' {
		for end = 1; end < len(line) && line[end] != line[0]; end++ {
			if line[end] == '\\' {
				end++
			}
		}
		for end++; line[0] == '\'' && end < len(line) && line[end] == '\''; end++ {
			end += 1 + strings.IndexByte(line[end+1:], '\'')
		}
	}
	if end < 0 || end >= len(line) {
		return line, ""
	}
	return line[:end], strings.TrimLeft(line[end:], " ")
}

// document returns a mapping in YAML, of the keys that templates ask for.
func (g *grower) document(depth int) string {
	var out strings.Builder
	for _, key := range keys {
		if g.one(8) {
			continue
		}
		value := g.value(depth)
		switch key {
		case "sub", "global":
			if !g.one(20) {
				value = g.flow("{", depth)
			}
		case "map":
			if !g.one(8) {
				value = g.flow("{", depth)
			}
		case "list":
			if !g.one(8) {
				value = g.flow("[", depth)
			}
		case "num":
			if !g.one(8) {
				value = pick(g, numbers)
			}
		case "str":
			for try := 0; try < 8 && !strings.ContainsAny(value[:1], "\"'"); try++ {
				value = g.scalar()
			}
		}
		fmt.Fprintf(&out, "%q: %s\n", key, value)
	}
	return out.String()
}

func (g *grower) value(depth int) string {
	switch n := g.IntN(10); {
	case depth > 0 && n == 0:
		return g.flow("{", depth-1)
	case depth > 0 && n == 1:
		return g.flow("[", depth-1)
	default:
		return g.scalar()
	}
}

func (g *grower) flow(open string, depth int) string {
	var items []string
	for range g.IntN(4) {
		item := g.value(depth - 1)
		if open == "{" {
			item = fmt.Sprintf("%q: %s", pick(g, keys), item)
		}
		items = append(items, item)
	}
	if open == "{" {
		return "{" + strings.Join(items, ", ") + "}"
	}
	return "[" + strings.Join(items, ", ") + "]"
}

func (g *grower) helpers() string {
	return `{{- define "one" -}}` + g.body(1) + `{{- end -}}
{{- define "two" }}` + g.text() + `{{ . | toString | trunc 20 }}{{ end -}}
{{- define "labels" }}
app: {{ .Chart.Name }}
release: {{ .Release.Name | quote }}
{{- end }}
`
}

var texts = []string{"x", " ", "\n", "a: ", "\n  b: ", "- ", "# c\n", "é", "\n\n", "\"", "'"}

func (g *grower) text() string {
	var out strings.Builder
	for range g.IntN(3) {
		out.WriteString(pick(g, texts))
	}
	return out.String()
}

// body returns statements with text between them.
func (g *grower) body(size int) string {
	var out strings.Builder
	scope := len(g.variables)
	for range size {
		out.WriteString(g.text())
		out.WriteString(g.statement(2))
	}
	g.variables = g.variables[:scope]
	return out.String() + g.text()
}

func (g *grower) action(text string) string {
	left, right := "{{ ", " }}"
	if g.one(5) {
		left = "{{- "
	}
	if g.one(5) {
		right = " -}}"
	}
	return left + text + right
}

func (g *grower) statement(depth int) string {
	if depth == 0 {
		return g.action(g.pipeline(2))
	}
	inner := func() string { return g.text() + g.statement(depth-1) + g.text() }
	within := func() string {
		g.inside++
		defer func() { g.inside-- }()
		return inner()
	}
	scope := len(g.variables)
	defer func() { g.variables = g.variables[:scope] }()
	switch g.IntN(16) {
	case 0:
		return g.action("if "+g.pipeline(1)) + inner() + g.action("end")
	case 1:
		return g.action("if "+g.pipeline(1)) + inner() + g.action("else if "+g.pipeline(1)) + inner() + g.action("else") + inner() + g.action("end")
	case 2:
		return g.action("with "+g.pipeline(1)) + within() + g.action("end")
	case 3:
		head := g.action("with $w := " + g.expression('x', 1))
		g.variables = append(g.variables, "w")
		return head + within() + g.action("else") + inner() + g.action("end")
	case 4:
		return g.action("range "+g.expression(pick(g, []byte("llmi")), 1)) + within() + g.action("end")
	case 5:
		head := g.action("range $k, $v := " + g.expression(pick(g, []byte("lm")), 1))
		g.variables = append(g.variables, "k", "v")
		body := within()
		if g.one(4) {
			body += g.action(pick(g, []string{"break", "continue"}))
		}
		return head + body + g.action("else") + inner() + g.action("end")
	case 6:
		head := g.action("$x := " + g.expression('x', 2))
		g.variables = append(g.variables, "x")
		body := g.statement(depth - 1)
		if g.one(2) {
			body += g.action("$x = "+g.expression('x', 1)) + g.statement(depth-1)
		}
		g.variables = g.variables[:scope]
		return g.action("if true") + head + body + g.action("end")
	case 7:
		return g.action(fmt.Sprintf("template %q %s", "two", pick(g, []string{"$.Values", "`x`", "$.Chart.Name"})))
	case 8:
		return g.action("$_ := set " + g.atom('m') + " " + g.atom('s') + " " + pick(g, atoms[pick(g, []byte("sinb"))]))
	default:
		return g.action(g.pipeline(3))
	}
}

// pipeline is an expression, mostly one that prints in a telling way.
func (g *grower) pipeline(depth int) string {
	text := g.expression('x', depth)
	switch g.IntN(8) {
	case 0:
		return text + " | quote"
	case 1:
		return text + " | toJson"
	case 2:
		return text + " | toYaml"
	case 3:
		return text + " | toYaml | nindent 2"
	case 4:
		return text + " | typeOf"
	case 5:
		return g.call('x', depth)
	default:
		return text
	}
}

// expression returns what may stand as an argument; kinds are x for anything, s for text, i for a Go int, n for a number, b for a boolean,
// l for a list and m for a map.
func (g *grower) expression(kind byte, depth int) string {
	if g.one(40) {
		kind = 'x'
	}
	if depth == 0 || g.one(3) {
		return g.atom(kind)
	}
	return "(" + g.call(kind, depth) + ")"
}

var atoms = map[byte][]string{
	's': {`"a"`, `"a b"`, `""`, `"x-y_z"`, `"Hello World"`, "`raw`", `"é😀"`, `"a,b"`, `"1.2.3"`, `"10"`, `"two\nlines"`, ".Values.str", ".Values.a", ".Release.Name", `"map"`, `"num"`, `"%v|%s"`, `"k: [1, 2]"`},
	'i': {"0", "1", "2", "3", "-1", "5", "10", "(int .Values.num)", "(len .Values.list)"},
	'n': {"0", "1", "2.5", "-3", "1e6", "1000000", "0.1", ".Values.num", ".Values.a", "100", "7", "1.0", "0x10"},
	'b': {"true", "false", ".Values.flag", "(not .Values.a)", "(eq 1 1)"},
	'l': {".Values.list", "(list)", `(list 1 "a" nil)`, `(list "b" "a" "c")`, "(until 3)", "(list 1 2 3 2 1)", `(splitList "," "c,a,b")`, "(list (dict) (list))", "(seq 3 | splitList \" \")", "(list 1.5 2 \"x\" true)"},
	'm': {".Values", ".Values.map", ".Values.sub", ".Values.global", "(dict)", `(dict "a" 1 "b" "x")`, `(dict "a" (dict "b" 2) "l" (list 1))`, ".Values.AsMap", "(dict \"z\" nil \"y\" false \"x\" \"\")"},
	'x': {".Values", ".Values.nope", ".Values.map.a", ".Values.list", ".Values.map", ".Values.num", ".Values.str", ".Values.b", ".Values.c", ".Values.flag", "nil", ".Chart.Name", ".Release", ".Template.Name", "(.Values.nope).x", "`x`", "'a'", "1", "2.5", `"str"`, "true", ".Capabilities.KubeVersion.Minor", "(index .Values \"a-b\")"},
}

func (g *grower) atom(kind byte) string {
	if len(g.variables) > 0 && g.one(4) {
		return "$" + pick(g, g.variables)
	}
	if g.inside > 0 && g.one(4) {
		return "."
	}
	return pick(g, atoms[kind])
}

// Functions by what they give: name and kinds of arguments; * repeats the kind before it, ? leaves it out at times.
var functions = parseFunctions(map[byte]string{
	's': `abbrev:is abbrevboth:iis trunc:is substr:iis trim:s trimAll:ss trimall:ss trimSuffix:ss trimPrefix:ss upper:s lower:s title:s untitle:s
		swapcase:s camelcase:s snakecase:s kebabcase:s repeat:is nospace:s initials:s wrap:is wrapWith:iss quote:x* squote:x* cat:x* indent:is nindent:is
		replace:sss plural:ssi toString:x join:sl join:sx b64enc:s b64dec:s sha1sum:s sha256sum:s sha512sum:s b32enc:s b32dec:s adler32sum:s
		toYaml:x mustToYaml:x toYamlPretty:x toJson:x mustToJson:x toPrettyJson:x mustToPrettyJson:x toRawJson:x mustToRawJson:x toToml:m mustToToml:m
		regexFind:ss mustRegexFind:ss regexReplaceAll:sss mustRegexReplaceAll:sss regexReplaceAllLiteral:sss regexQuoteMeta:s base:s dir:s clean:s ext:s
		osBase:s osDir:s osClean:s osExt:s urlJoin:m printf:sx* print:x* println:x* html:x* js:x* urlquery:x* typeOf:x kindOf:x hello: seq:i* seq:ii
		duration:s duration:n durationRound:s htmlDate:d dateInZone:sdz date:sd dateModify:sd dateInZone:sdz hasPrefix:ss hasSuffix:ss include:tx tpl:vx required:sx
		getHostByName:s first:l last:l default:sx ternary:ssb get:ms`,
	'i': `int:n int:s len:x atoi:s add1:n add:n* sub:nn mul:n* div:nn mod:nn max:n* min:n* biggest:n* toDecimal:s int64:n`,
	'n': `int:n int64:n float64:n float64:s add:n* sub:nn mul:n* div:nn mod:nn add1:n add1f:n addf:n* subf:n* mulf:n* divf:nn maxf:n* minf:n* floor:n ceil:n round:ni
		max:n* min:n* len:x atoi:s toDecimal:s`,
	'b': `contains:ss hasPrefix:ss hasSuffix:ss eq:xx eq:nn eq:ss ne:xx lt:nn le:nn gt:ii ge:ii eq:ii not:x empty:x all:x* any:x* has:xl mustHas:xl hasKey:ms
		kindIs:sx typeIs:sx typeIsLike:sx deepEqual:xx regexMatch:ss mustRegexMatch:ss semverCompare:ss isAbs:s osIsAbs:s and:x* or:x*`,
	'l': `list:x* tuple:x* append:lx mustAppend:lx push:lx prepend:lx mustPrepend:lx rest:l mustRest:l initial:l mustInitial:l reverse:l mustReverse:l compact:l uniq:l mustUniq:l
		without:lx* slice:lii slice:li mustSlice:lii concat:l* chunk:il sortAlpha:l sortAlpha:x toStrings:x splitList:ss until:i untilStep:iii regexFindAll:ssi regexSplit:ssi
		fromYamlArray:y fromJsonArray:s pluck:sm* deepCopy:l`,
	'm': `dict:sx dict:sxsx dict: set:msp unset:ms pick:ms* omit:ms* merge:m* mustMerge:mm mergeOverwrite:m* mustMergeOverwrite:mm deepCopy:m mustDeepCopy:m fromYaml:y fromJson:s
		split:ss splitn:sis urlParse:s fromToml:o`,
	'x': `default:xx coalesce:x* ternary:xxb get:ms first:l last:l mustFirst:l mustLast:l index:ms index:li index:l dig:sxm dig:ssxm mustFromJson:s fromJson:s fromYaml:y
		and:x* or:x* deepCopy:x semver:s lookup:ssss`,
})

type function struct {
	name string
	args string
}

func parseFunctions(texts map[byte]string) map[byte][]function {
	parsed := map[byte][]function{}
	for kind, text := range texts {
		for _, item := range strings.Fields(text) {
			name, args, _ := strings.Cut(item, ":")
			parsed[kind] = append(parsed[kind], function{name, args})
		}
	}
	for _, kind := range []byte("sinblm") {
		parsed['x'] = append(parsed['x'], parsed[kind]...)
	}
	return parsed
}

func (g *grower) call(kind byte, depth int) string {
	f := pick(g, functions[kind])
	var args []string
	for i := 0; i < len(f.args); i++ {
		if f.args[i] == '*' {
			for range g.IntN(3) {
				args = append(args, g.argument(f.args[i-1], depth))
			}
			continue
		}
		args = append(args, g.argument(f.args[i], depth))
	}
	if len(args) > 0 && g.one(60) {
		args = args[:len(args)-1]
	}
	if g.one(3) && len(args) > 0 {
		last := strings.TrimSuffix(strings.TrimPrefix(args[len(args)-1], "("), ")")
		if whole := args[len(args)-1]; strings.HasPrefix(whole, "(") && balanced(last) || !strings.ContainsAny(whole, "()") {
			if !strings.HasPrefix(whole, "(") {
				last = whole
			}
			return strings.Join(append([]string{last + " | " + f.name}, args[:len(args)-1]...), " ")
		}
	}
	return strings.Join(append([]string{f.name}, args...), " ")
}

func balanced(text string) bool {
	depth := 0
	for _, c := range text {
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth < 0 {
				return false
			}
		}
	}
	return depth == 0
}

func (g *grower) argument(kind byte, depth int) string {
	switch kind {
	case 't':
		return pick(g, []string{`"two"`, `"labels"`, `"two"`, `"no-such"`})
	case 'v':
		return pick(g, []string{`"{{ .Values.a }}"`, ".Values.str", "(toYaml .Values)", `"{{ include \"two\" .Values.a }}"`, "(.Values.list | toJson)", "`{{ range $i, $e := .Values.list }}{{ $i }}{{ end }}`"})
	case 'z':
		return pick(g, []string{`"UTC"`, `"Europe/Berlin"`, `"America/New_York"`, `"Nowhere"`})
	case 'p':
		// Nothing that could hold the map it is put into: Helm's stack has no end to overflow at.
		return pick(g, atoms[pick(g, []byte("sinb"))])
	case 'd':
		return pick(g, []string{"(toDate \"2006-01-02\" \"2024-02-29\")", "0", "(int64 1700000000)", "86399", "(toDate \"2006-01-02T15:04:05Z07:00\" \"1999-12-31T23:59:59+05:30\")", "(int .Values.num)"})
	case 'y':
		return pick(g, []string{"(toYaml ", "(toJson ", "(toYamlPretty "}) + g.expression('x', depth-1) + ")"
	case 'o':
		return "(toToml " + g.expression('m', depth-1) + ")"
	default:
		return g.expression(kind, depth-1)
	}
}
