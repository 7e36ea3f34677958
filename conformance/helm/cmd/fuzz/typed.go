package main

import (
	"fmt"
	"strconv"
	"strings"
)

// typed grows expressions whose types fit, so that nearly all of them succeed. Kinds are letters:
//
//	s text   i Go int   k small int   n number   N number that is not zero   b boolean   l list   t list of texts   m map   x anything
//	R regular expression   r its replacement   V version   C constraint   L layout of a date   T time   Z zone   U duration
//	J JSON   M an object of JSON   Y YAML   O TOML   P path   A address   H its parts   E Base64   G Base32   W key   f file   F glob   g API version
//	c count from 1   y Go type   K Go kind   p what may be put into a map without a loop   q name of a template   Q text of a template
//
// Values that templates read have a section for each kind, so that a path says what is found there.
type typed struct {
	*grower
	// scope are the variables, by name and kind.
	scope []variable
	// dots are the kinds of what the dot is, inside out; no entry means the root.
	dots []byte
	// root is how the values of the chart are reached.
	root string
	// partials are templates that may be included: those defined before.
	partials []string
	// made counts variables, so that names differ.
	made int
}

type variable struct {
	name string
	kind byte
}

// values returns the values that paths lead into; layers hold a part of them.
func (g *grower) typedValues(keep int) mapping {
	var m mapping
	each := func(section string, value func() tree) {
		var inner mapping
		for _, key := range []string{"a", "b", "c"} {
			if g.IntN(8) < keep {
				inner = append(inner, entry{key, value()})
			}
		}
		if len(inner) > 0 {
			m = append(m, entry{section, inner})
		}
	}
	list := func() tree {
		items := []tree{}
		for range g.IntN(5) {
			items = append(items, g.tree(1))
		}
		return items
	}
	each("text", func() tree { return g.nasty() })
	each("number", func() tree { return raw(pick(g, numbers)) })
	each("flag", func() tree { return g.one(2) })
	each("lists", list)
	each("texts", func() tree {
		items := []tree{}
		for range g.IntN(4) {
			items = append(items, g.nasty())
		}
		return items
	})
	each("maps", func() tree {
		var inner mapping
		for range g.IntN(5) {
			inner = inner.with(pick(g, keysOfYAML), g.tree(2))
		}
		return inner
	})
	each("any", func() tree { return g.tree(3) })
	return m
}

var typedAtoms = map[byte][]string{
	's': {`"a"`, `"a b"`, `""`, `"x-y_z"`, `"Hello World"`, "`raw`", `"é😀"`, `"a,b"`, `"1.2.3"`, `"10"`, `"two\nlines"`, `"  pad "`, `"fooBarBaz"`, `"HTTPServer"`, `"snake_case_text"`, `"k: [1, 2]"`, `"tab\tquote\"back\\"`,
		`"\u00e4\U0001F600"`, `"ǅ ß ı"`, "`a\"b`", `"<a href='x'>&amp;"`, "$.Chart.Name", "$.Release.Name", "$.Release.Namespace", "$.Release.Service", "$.Template.BasePath", "$.Chart.Version", "$.Capabilities.KubeVersion.Version", "$.Template.Name"},
	'i': {"0", "1", "2", "3", "-1", "5", "10", "100", "0x10", "0b11", "'a'", "1_000", "(len \"abc\")"},
	'k': {"0", "1", "2", "3", "4", "5", "6"},
	'c': {"1", "2", "3", "5", "10", "40", "80"},
	'n': {"0", "1", "2.5", "-3", "1e6", "1000000", "0.1", "100", "7", "1.0", "0x10", `"12"`, `"3.7"`, `"0x1A"`, `"010"`, `"x"`, "true", "1e-7", "123456789.125", "-0.5", "9223372036854775807", `"1e3"`, "nil", "16777217", "0.30000000000000004", "2147483648"},
	'N': {"1", "2", "3", "-4", "7", "10", "2.5", "1e3", `"12"`},
	'b': {"true", "false"},
	'l': {"(list)", `(list 1 "a" nil)`, `(list "b" "a" "c")`, "(list 1 2 3 2 1)", "(list (dict) (list))", "(list 1.5 2 \"x\" true)", "(list nil nil)", "(list (list 1 2) (list 3))", "(tuple 1 1.0 \"1\")", "(list 0 \"\" false nil (dict) 1)"},
	't': {`(splitList "," "c,a,b")`, "(list)", `(list "b" "a" "c" "a")`, "(seq 3 | splitList \" \")", `(list "10" "9" "A" "a")`, "(list \"x\")", `(splitList "" "añb")`},
	'm': {"(dict)", `(dict "a" 1 "b" "x")`, `(dict "a" (dict "b" 2) "l" (list 1))`, "(dict \"z\" nil \"y\" false \"x\" \"\")", "(dict 1 2 true 3)", `(dict "a" (dict "b" (dict "c" 1)))`, `(dict "only")`, `(dict "10" 1 "9" 2 "a b" 3)`},
	'x': {"nil", "$.Values.nope", "($.Values.nope).x", "`x`", "'a'", "1", "2.5", `"str"`, "true", "$.Capabilities.KubeVersion.Minor", "$.Capabilities.KubeVersion", "$.Release", "$.Values", "1i", "(list nil)", "$.Release.IsInstall", "$.Release.Revision", "$.Chart.Dependencies", "$.Chart.Annotations", "$.Chart.Keywords", "$.Capabilities.APIVersions", "$.Capabilities.HelmVersion.Version", "$.Chart.IsRoot", "$.Chart.Maintainers", "$.Files", "$.Subcharts", "$.Template"},
	'R': {`"[a-z]+"`, `"a|b"`, `"(a)(b)?"`, "`\\d+`", "`\\bw`", "`^\\s*`", "`$`", `""`, `"."`, `"(?i)HELLO"`, `"(?P<n>[aeiou])"`, "`\\pL+`", "`[^[:alnum:]]`", "`(?m)^.`", "`(?s).+`", "`a{1,2}`", "`a*?`", "`\\Qa.b\\E`", "`[\\w-]+`", "`x*`", "`(\\w)(\\w)`", "`\\x{e9}|ñ`", "`[^a]`", "`(?U)a+`", "`\\W`", "`(|a)+`", "`[a-c[:digit:]]`", "`\\z`", "`(?:ab)+`", "`\\p{Greek}|\\P{Lu}`", "`,\\s*`"},
	'r': {`"$1"`, `"${1}x"`, `"-"`, `""`, `"$n"`, `"${n}"`, `"$1x"`, `"$$"`, `"$0"`, "`\\1`", `"<$2>"`, `"$"`, `"${"`},
	'V': {`"1.2.3"`, `"v1.20.0-rc.1"`, `"1.2"`, `"1"`, `"1.2.3+build.5"`, `"v0.0.1-alpha.1.beta"`, `"10.20.30"`, "$.Capabilities.KubeVersion.Version", `"1.2.3-0"`, `"1.2.3-rc1"`, `"v1.28.3-gke.1234"`, `"1.27+"`},
	'C': {`">=1.2"`, `"^1.2.3"`, `"~1.2"`, `">=1.19-0"`, `"1.x"`, `"1.2 - 3"`, `"<2 || >=3"`, `">1.0,<2"`, `"*"`, `"!=1.2.3"`, `"=1.2"`, `"~> 1.2.3"`, `"^0.0.1"`, `">= 1.2.0-0 < 2"`, `"1.2.3"`, `"^0.2"`, `"=> 1.2"`, `"=<1.2.3"`, `"~0"`, `"^0"`, `">=1.2-beta.2"`, `"x"`, `"1.2.X - 1.3"`},
	'L': {`"2006-01-02"`, `"Mon Jan _2 15:04:05 2006"`, `"2006-01-02T15:04:05Z07:00"`, `"02 Jan 06 15:04 MST"`, `"3:04PM"`, `"Monday, January 2"`, `"20060102150405"`, `"15h04m05.000"`, `"2006.01.02 .999"`, `"002 __2"`, `"-0700 -07 Z0700"`, `"pm PM 03"`, `""`, `"Jan Feb"`, `"05,000000 06 1 2"`},
	'T': {`(toDate "2006-01-02" "2024-02-29")`, "0", "(int64 1700000000)", "86399", `(toDate "2006-01-02T15:04:05Z07:00" "1999-12-31T23:59:59+05:30")`, "-1", `(toDate "2006-01-02 15:04:05.000" "2021-07-04 12:34:56.789")`, "1e9", `(mustToDate "Jan 2 2006" "Mar 10 2024")`, "951782400", "(int 4102444800)", "1583650800"},
	'D': {`(toDate "2006-01-02" "2024-02-29")`, `(toDate "2006-01-02T15:04:05Z07:00" "1999-12-31T23:59:59+05:30")`, `(mustToDate "Jan 2 2006" "Mar 10 2024")`, `(toDate "nope" "nope")`, `(toDate "15:04" "23:59")`},
	'Z': {`"UTC"`, `"Europe/Berlin"`, `"America/New_York"`, `"Nowhere"`, `""`, `"Local"`, `"Asia/Kolkata"`, `"Australia/Lord_Howe"`, `"EST"`},
	'U': {`"5m"`, `"1h30m"`, `"-24h"`, `"1.5s"`, `"100ms"`, `"2h45m30.5s"`, `"0"`, `"1us"`, `"3661s"`, `"720h"`, `"+1h"`, `"87600h"`},
	'u': {`"5m"`, `"3661"`, `"0"`, "(int64 90061)", `"x"`, `"-5"`, "60", `"2h1m"`, `"86400"`, "nil", "1.5", `"31536001"`},
	'J': {`"{\"a\": 1}"`, "`[1, 2.5, \"x\", null, true]`", "`{\"b\": {\"c\": [1e3, -0.0, 1e21]}}`", "`\"text\"`", "`12`", "`null`", "` {\"a\": 1, \"a\": 2} `", "`{\"é\": \"\\u00e9\\ud83d\\ude00\"}`", "`9007199254740993`", "`{`", "``", "`[1,]`", "`{\"a\" 1}`", "`nul`", "`1 2`", "`\"\\x\"`", "`{\"<\": \"&\"}`"},
	'M': {`"{\"a\": 1}"`, "`{\"b\": {\"c\": [1e3, -0.0, 1e21]}}`", "`{\"é\": \"\\u00e9\\ud83d\\ude00\"}`", "`{}`", "`{\"a\": 12345678901234567890, \"b\": 0.1}`"},
	'Y': {"`a: 1`", "`[1, 2, x]`", "`a: {b: [1, 0644, yes]}`", "`- a\n- b: c`", "`a: |\n  x\n  y\nb: >\n  x\n  y`", "`x`", "``", "`a: &x 1\nb: *x`", "`a: 1\na: 2`", "`{a: 1, b: 2}`", "`a: 2020-01-01`", "`\"a\": !!str 1`", "`<<: {a: 1}\nb: 2`", "`a: 1.0\nb: 1e3\nc: .5`", "`null`", "`a: ~\n? b\n: c`", "`a:\n- b\n-\n  - c`", "`1: a\n1.5: b\ntrue: c`"},
	'O': {"`a = 1`", "`[t]\na = \"x\"\nb = [1, 2]`", "`a.b = true\nd = 1.5`", "`[[t]]\na = 1\n[[t]]\nb = 2`", "`d = 2020-01-01T00:00:00Z`", "`a = {b = 1}`", "``", "`a = 0x1F\nb = 1_000\nc = \"\"\"x\ny\"\"\"`", "`a`"},
	'P': {`"/a/b/../c.txt"`, `"a//b/"`, `""`, `"."`, `"../x.tar.gz"`, `"/"`, `"a/./b"`, `".hidden"`, `"C:\\x"`, `"a.b/c"`},
	'A': {`"https://u:p@example.com:80/x?y=z#f"`, `"http://[::1]:8080/"`, `"mailto:a@b.c"`, `"/path?q"`, `""`, `"//host/x%20y"`, `"ftp://h?a=b&c=%26"`, `"http://é.com/ü"`, `"a:b:c"`, `"http://h:/#"`, `"x?y#z#w"`},
	'E': {`"YWJj"`, `"aGVsbG8="`, `""`, `"8J+YgA=="`, `"YW Jj"`, `"YW\nJj"`, `"!"`, `"YQ"`, `"/w=="`},
	'G': {`"MFRGG==="`, `"NBSWY3DP"`, `""`, `"x"`},
	'H': {`(dict "scheme" "http" "host" "h:1" "path" "/p q" "query" "a=b" "fragment" "f#" "userinfo" "u:p")`, `(dict "scheme" "mailto" "opaque" "a@b")`, `(urlParse "https://u:p@example.com:80/x?y=z#f")`, `(dict "host" "h" "path" "p" "scheme" "" "query" "" "fragment" "" "userinfo" "" "opaque" "")`, `(dict)`},
	'y': {`"string"`, `"int"`, `"float64"`, `"map[string]interface {}"`, `"[]interface {}"`, `"bool"`, `"int64"`, `"*int"`, `"common.Values"`, `"[]string"`},
	'K': {`"string"`, `"int"`, `"float64"`, `"map"`, `"slice"`, `"bool"`, `"int64"`, `"invalid"`, `"struct"`, `"ptr"`},
	'W': {`"a"`, `"b"`, `"l"`, `"nope"`, `"10"`, `"x"`, `"a b"`, `"c"`, `"name"`, `"é"`, `""`},
	'g': {`"networking.k8s.io/v1"`, `"v1"`, `"apps/v1"`, `"apps/v1/Deployment"`, `"monitoring.coreos.com/v1"`, `"x.io/v1"`, `"x.io/v1/Y"`, `"batch/v1beta1"`, `"policy/v1"`, `""`},
	'f': {`"config/a.conf"`, `"config/b.txt"`, `"nope"`, `"config/deep/c.json"`, `"README.md"`, `"values.yaml"`, `""`},
	'F': {`"config/*"`, `"**"`, `"**.conf"`, `"config/**"`, `"*.md"`, `"config/{a,b}.*"`, `"config/[a-b].*"`, `"nope/*"`, `"*/*/?.json"`, `"{README,x}.md"`},
}

// paths are what a section of values is called that holds a kind.
var typedPaths = map[byte]string{'s': "text", 'n': "number", 'b': "flag", 'l': "lists", 't': "texts", 'm': "maps", 'x': "any"}

// Functions by what they give; see typed for the kinds. A * repeats the kind before it.
var typedFunctions = parseTyped(map[byte]string{
	's': `abbrev:is abbrevboth:iis trunc:is substr:kks trim:s trimAll:ss trimall:ss trimSuffix:ss trimPrefix:ss upper:s lower:s title:s untitle:s
		swapcase:s camelcase:s snakecase:s kebabcase:s repeat:ks nospace:s initials:s wrap:cs wrapWith:css quote:x* squote:x* cat:x* indent:ks nindent:ks
		replace:sss plural:ssi toString:x join:sl join:sx join:st b64enc:s b64dec:E sha1sum:s sha256sum:s sha512sum:s b32enc:s b32dec:G adler32sum:s
		toYaml:x toYaml:x mustToYaml:m toYamlPretty:x toJson:x mustToJson:x toPrettyJson:x mustToPrettyJson:x toRawJson:x mustToRawJson:x toToml:m toToml:m
		regexFind:Rs mustRegexFind:Rs regexReplaceAll:Rsr mustRegexReplaceAll:Rsr regexReplaceAllLiteral:Rsr mustRegexReplaceAllLiteral:Rsr regexQuoteMeta:s base:P dir:P clean:P ext:P
		osBase:P osDir:P osClean:P osExt:P urlJoin:H print:x* println:x* html:x js:x urlquery:x html:s js:s urlquery:s typeOf:x kindOf:x hello: seq:k* seq:kk seq:kkk
		duration:u durationRound:u htmlDate:T htmlDateInZone:TZ dateInZone:LTZ date_in_zone:LTZ date:LT include:qx tpl:Qx required:sS getHostByName:s
		default:ss coalesce:ss ternary:ssb print:ss print:nn toString:n toString:T printf:X get:BW first:t last:t index:t0`,
	'i': `int:n len:l len:s len:m atoi:s int:x`,
	'n': `int:n int64:n float64:n add:n* sub:nn mul:n* div:nN mod:nN max:n* min:n* biggest:n* add1:n add1f:n addf:n* subf:nn* mulf:nn* divf:nN maxf:nn* minf:nn* floor:n ceil:n round:nk
		toDecimal:s unixEpoch:D len:x ternary:nnb default:nn`,
	'b': `contains:ss hasPrefix:ss hasSuffix:ss eq:ss eq:ii eq:bb ne:ss lt:ii le:ss gt:ii ge:ss not:x empty:x all:x* any:x* has:xl mustHas:xl hasKey:mW eq:sss
		kindIs:Kx typeIs:yx typeIsLike:yx deepEqual:xx deepEqual:ll deepEqual:mm regexMatch:Rs mustRegexMatch:Rs semverCompare:CV isAbs:P osIsAbs:P and:bb or:bb $.Capabilities.APIVersions.Has:g`,
	'l': `list:x* tuple:x* append:lx mustAppend:lx push:lx mustPush:lx prepend:lx mustPrepend:lx rest:l mustRest:l initial:l mustInitial:l reverse:l mustReverse:l compact:l mustCompact:l uniq:l mustUniq:l
		without:lx* mustWithout:lx slice:l concat:l* chunk:cl mustChunk:cl deepCopy:l mustDeepCopy:l fromYamlArray:Y fromJsonArray:J pluck:Wm* default:ll mustSlice:l reverse:t uniq:t without:tss rest:t fromJsonArray:j fromYamlArray:v`,
	't': `sortAlpha:t sortAlpha:l toStrings:l splitList:ss regexFindAll:Rsi mustRegexFindAll:Rsi regexSplit:Rsi mustRegexSplit:Rsi keys:B $.Files.Lines:f`,
	'm': `dict:Wx dict:WxWx dict: set:mWp unset:mW pick:mW* omit:mW* merge:mm* mustMerge:mm mergeOverwrite:mm* mustMergeOverwrite:mm deepCopy:m mustDeepCopy:m fromYaml:Y fromJson:M fromJson:J
		urlParse:A fromToml:O fromYaml:w fromJson:w fromToml:o`,
	'x': `split:ss splitn:sks default:xx coalesce:x* ternary:xxb get:mW first:l last:l mustFirst:l mustLast:l index:mW dig:Wxm dig:WWxm mustFromJson:j fromJson:J fromYaml:Y
		and:x* or:x* deepCopy:x semver:V lookup:ssss until:k untilStep:kkk values:B toDate:Ls dateModify:UD date_modify:UD mustDateModify:UD must_date_modify:UD $.Files.Get:f $.Files.Glob:F keys:B`,
})

func parseTyped(texts map[byte]string) map[byte][]function {
	parsed := parseFunctions(texts)
	for _, kind := range []byte("t") {
		parsed['x'] = append(parsed['x'], parsed[kind]...)
	}
	return parsed
}

func (t *typed) variable(kind byte) string {
	t.made++
	name := "v" + strconv.Itoa(t.made)
	t.scope = append(t.scope, variable{name, kind})
	return "$" + name
}

func (t *typed) atom(kind byte) string {
	if t.one(3) {
		var fitting []string
		for _, v := range t.scope {
			if v.kind == kind {
				fitting = append(fitting, "$"+v.name)
			}
		}
		if last := len(t.dots) - 1; last >= 0 && t.dots[last] == kind {
			fitting = append(fitting, ".")
		}
		if len(fitting) > 0 {
			return pick(t.grower, fitting)
		}
	}
	if section, ok := typedPaths[kind]; ok && t.one(2) {
		return t.root + ".Values." + section + "." + pick(t.grower, []string{"a", "b", "c"})
	}
	if kind == 's' && t.one(3) {
		return strconv.QuoteToASCII(strings.ToValidUTF8(t.nasty(), ""))
	}
	if items := typedAtoms[kind]; len(items) > 0 {
		return strings.ReplaceAll(pick(t.grower, items), "$.", t.root+".")
	}
	return t.special(kind, 0)
}

// special returns arguments that need more than a table.
func (t *typed) special(kind byte, depth int) string {
	g := t.grower
	switch kind {
	case 'S':
		return strconv.Quote(pick(g, []string{"x", " ", "yes"}))
	case 'B':
		// One key only: Go's order of more is random.
		return "(dict " + t.atom('W') + " " + t.expression('x', depth-1) + ")"
	case 'p':
		return t.atom(pick(g, []byte("sinb")))
	case 'j':
		return "(" + pick(g, []string{"toJson ", "toPrettyJson ", "toRawJson "}) + t.expression(pick(g, []byte("lmsx")), depth-1) + ")"
	case 'v':
		return "(" + pick(g, []string{"toJson ", "toYaml ", "toYamlPretty "}) + t.expression('l', depth-1) + ")"
	case 'w':
		return "(" + pick(g, []string{"toJson ", "toYaml ", "toYamlPretty "}) + t.expression('m', depth-1) + ")"
	case 'o':
		return "(toToml " + t.expression('m', depth-1) + ")"
	case '0':
		return "0"
	case 'q':
		if len(t.partials) > 0 {
			return strconv.Quote(pick(g, t.partials))
		}
		return `"static"`
	case 'Q':
		return t.template(depth)
	case 'X':
		return t.format(depth)
	}
	panic("no such kind: " + string(kind))
}

// template returns the text of a template, as tpl takes it: what it needs of the outside comes in as the dot.
func (t *typed) template(depth int) string {
	g := t.grower
	switch g.IntN(6) {
	case 0:
		return pick(g, []string{`"{{ . }}"`, "`{{ . | toJson }}`", "`{{ $ | quote }}`", "`plain`", "``", "`{{- with . }}{{ . | toYaml }}{{ else }}none{{ end -}} `", "`{{/* c */}}x`"})
	case 1:
		return "`{{ define \"inner\" }}[{{ . | typeOf }}]{{ end }}{{ include \"inner\" . }}{{ template \"inner\" 1 }}`"
	case 2:
		if len(t.partials) > 0 {
			return "`{{ include " + strconv.Quote(pick(g, t.partials)) + " . }}`"
		}
		return "`{{ include \"static\" . }}`"
	case 3:
		return "`{{ tpl \"{{ . | toJson }}\" . }}`"
	case 4:
		return "`{{ range $i := until 3 }}{{ $i }}{{ if eq $i 1 }}{{ break }}{{ end }},{{ end }}`"
	default:
		inner := &typed{grower: g, root: "$.nope"}
		text := inner.atomic(max(depth, 1))
		if strings.Contains(text, "`") || strings.Contains(text, "$.") {
			return "`{{ len \"abc\" }}`"
		}
		return "`{{ " + text + " }}`"
	}
}

// atomic returns an expression that asks the outside for nothing.
func (t *typed) atomic(depth int) string {
	for range 20 {
		if text := t.call(pick(t.grower, []byte("sinbt")), depth); !strings.Contains(text, "$") {
			return text
		}
	}
	return `upper "x"`
}

// format returns the arguments of printf.
func (t *typed) format(depth int) string {
	g := t.grower
	var text strings.Builder
	var args []string
	for range 1 + g.IntN(3) {
		text.WriteString(pick(g, []string{"", " ", "x", "%%", "é", "|"}))
		verb, kind := pick(g, []string{"s", "q", "v", "x", "X", "d", "T", "c", "b", "o", "O", "U", "e", "f", "g", "E", "G", "t", "v", "+v", "#v", "s", "d"}), pick(g, []byte("sinxsilmb"))
		flags := pick(g, []string{"", "", "", "-", "+", "#", "0", " ", "-0", "+ "})
		width := pick(g, []string{"", "", "", "5", "12", "3.2", ".2", ".0", "8.3", "."})
		if g.one(20) {
			width = "*"
			args = append(args, t.expression('k', 0))
		}
		text.WriteString("%" + strings.TrimPrefix(flags, "+"+strings.Repeat(" ", 9)) + width + verb)
		args = append(args, t.expression(kind, depth-1))
	}
	if g.one(12) {
		args = args[1:]
	} else if g.one(12) {
		args = append(args, "1")
	}
	return strconv.Quote(text.String()) + strings.TrimRight(" "+strings.Join(args, " "), " ")
}

func (t *typed) expression(kind byte, depth int) string {
	if len(typedFunctions[kind]) == 0 || depth <= 0 || t.one(3) {
		if typedAtoms[kind] == nil {
			return t.special(kind, depth)
		}
		return t.atom(kind)
	}
	return "(" + t.call(kind, depth) + ")"
}

func (t *typed) call(kind byte, depth int) string {
	g := t.grower
	f := pick(g, typedFunctions[kind])
	name := strings.ReplaceAll(f.name, "$.", t.root+".")
	if strings.HasPrefix(f.name, "$.") && t.root != "$" {
		return `print "no root"`
	}
	switch f.name {
	case "slice", "mustSlice":
		return name + " (list 1 2 " + t.expression('x', depth-1) + " 4) " + pick(g, []string{"0", "1", "1 3", "0 0", "2 4", ""})
	case "index":
		if kind == 's' {
			return `index (list "p" "q") ` + pick(g, []string{"0", "1"})
		}
	case "first", "last", "mustFirst":
		if kind == 's' {
			return name + " (list " + t.expression('s', depth-1) + " \"z\")"
		}
	case "get":
		if kind == 's' {
			return "get (dict \"a\" " + t.expression('s', depth-1) + ") " + pick(g, []string{`"a"`, `"b"`})
		}
	}
	var args []string
	for i := 0; i < len(f.args); i++ {
		if f.args[i] == '*' {
			for range g.IntN(3) {
				args = append(args, t.expression(f.args[i-1], depth-1))
			}
			continue
		}
		args = append(args, t.expression(f.args[i], depth-1))
	}
	if n := len(args) - 1; n >= 0 && g.one(3) && f.name != "printf" {
		last := args[n]
		if inner := strings.TrimSuffix(strings.TrimPrefix(last, "("), ")"); strings.HasPrefix(last, "(") && strings.HasSuffix(last, ")") && balanced(inner) && !strings.ContainsAny(last, "`\"") {
			last = inner
		}
		return strings.Join(append([]string{last + " | " + name}, args[:n]...), " ")
	}
	return strings.Join(append([]string{name}, args...), " ")
}

// show returns a pipeline that prints in a telling way.
func (t *typed) show(depth int) string {
	text := t.expression(pick(t.grower, []byte("sssnnbltmmxxi")), depth)
	switch t.IntN(10) {
	case 0:
		return text + " | quote"
	case 1, 2:
		return text + " | toJson"
	case 3:
		return text + " | toYaml | nindent 2"
	case 4:
		return "typeOf " + text
	case 5:
		return `printf "%v %T" ` + text + " " + text
	case 6:
		return text + " | toString | squote"
	case 7:
		return text + " | toYaml"
	default:
		return text
	}
}

// lines returns statements, one a line, each telling what it is.
func (t *typed) lines(count int) string {
	var out strings.Builder
	scope := len(t.scope)
	for i := range count {
		fmt.Fprintf(&out, "l%d: ", i)
		out.WriteString(t.statement(2))
		out.WriteString(pick(t.grower, []string{"\n", "\n", "\n\n", " \n", "# é\n"}))
	}
	t.scope = t.scope[:scope]
	return out.String()
}

func (t *typed) statement(depth int) string {
	g := t.grower
	if depth == 0 {
		return g.action(t.show(2))
	}
	scope, dots := len(t.scope), len(t.dots)
	defer func() { t.scope, t.dots = t.scope[:scope], t.dots[:dots] }()
	inner := func() string { return g.text() + t.statement(depth-1) + g.text() }
	within := func(kind byte) string {
		t.dots = append(t.dots, kind)
		defer func() { t.dots = t.dots[:len(t.dots)-1] }()
		return inner()
	}
	switch g.IntN(22) {
	case 0:
		return g.action("if "+t.expression('b', 2)) + inner() + g.action("else if "+t.expression('x', 1)) + inner() + g.action("else") + inner() + g.action("end")
	case 1:
		kind := pick(g, []byte("snlmx"))
		return g.action("with "+t.expression(kind, 2)) + within(kind) + g.action("else") + inner() + g.action("end")
	case 2:
		kind := pick(g, []byte("snlmx"))
		text := t.expression(kind, 2)
		head := g.action("with " + t.variable(kind) + " := " + text)
		return head + within(kind) + g.action("else with "+t.expression('s', 1)) + within('s') + g.action("end")
	case 3:
		kind, over := byte('x'), pick(g, []byte("ltm"))
		if over == 't' {
			kind = 's'
		}
		return g.action("range "+t.expression(over, 2)) + within(kind) + g.action("else") + inner() + g.action("end")
	case 4:
		over := pick(g, []byte("ltm"))
		text := t.expression(over, 2)
		index, item := byte('i'), byte('x')
		if over == 'm' {
			index = 's'
		}
		if over == 't' {
			item = 's'
		}
		head := g.action("range " + t.variable(index) + ", " + t.variable(item) + " := " + text)
		body := within(item)
		if g.one(3) {
			body += g.action("if "+t.expression('b', 1)) + g.action(pick(g, []string{"break", "continue"})) + g.action("end") + inner()
		}
		return head + body + g.action("end")
	case 5:
		return g.action("range "+t.variable('i')+" := "+pick(g, []string{"until 3", "3", "untilStep 5 0 -2", "(int 2)"})) + within('i') + g.action("end")
	case 6:
		kind := pick(g, []byte("snlmtbi"))
		text := t.expression(kind, 2)
		name := t.variable(kind)
		body := g.action(name+" := "+text) + inner()
		if g.one(2) {
			body += g.action("if "+t.expression('b', 1)) + g.action(name+" = "+t.expression(kind, 1)) + g.action("end") + inner()
		}
		return g.action("if true") + body + g.action("end")
	case 7:
		if len(t.partials) == 0 {
			return g.action(t.show(2))
		}
		return g.action(fmt.Sprintf("template %q %s", pick(g, t.partials), t.expression(pick(g, []byte("sxm")), 1)))
	case 8:
		return g.action("$_ := set " + t.root + ".Values." + pick(g, []string{"maps.a", "maps.b", "any"}) + " " + t.atom('W') + " " + t.special('p', 0))
	case 9:
		return pick(g, []string{"{{/* c */}}", "{{- /* c */ -}}", "{{/* c\n*/ -}}"}) + g.action("$_ := "+t.expression('m', 2)) + inner()
	default:
		return g.action(t.show(3))
	}
}
