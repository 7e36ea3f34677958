package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// A tree is what a document of YAML says: nil, bool, a raw scalar (written as it stands), string, []tree or mapping.
type tree any

// raw is a scalar that is written as it stands, so that its type is for the reader to find out.
type raw string

type entry struct {
	key   string
	value tree
}

type mapping []entry

var nasty = []string{
	"", "a", "text", "a b", " lead", "trail ", "a: b", "a:b", "#x", "x #y", "- x", "-", "?", "? x", ":", ": x", "~", "null", "Null", "true", "True", "yes", "NO", "on", "off", "y", "n",
	"1", "-1", "+1", "0", "00", "007", "0x1F", "0o17", "0b11", "1_000", "1.5", ".5", "5.", "1e3", "1E3", "-1e-7", ".inf", "-.Inf", ".nan", "1:30", "12:30:45", "2020-01-01",
	"2001-12-14t21:59:43.10-05:00", "=", "<<", "*x", "&y", "!z", "!!str", "|", ">", "@", "`", "%d", "%", "{", "}", "[", "]", ",", "{}", "[]", "a,b", "'", "''", "it's", "\"", "\\", "a\\nb",
	"é", "日本語", "😀", "e\u0301", "\u00a0", "\u2028", "\u2029", "\ufeff", "\u0085", "\u007f", "\u200b", "tab\there", "\t", "\n", "a\n", "a\nb", "a\nb\n", "a\n\n", "\na", "\n\na\n", " a\n", "a\n b\n", "a \nb",
	"a\n\nb\n", "a\r\nb", "\r", "\x00", "\x1b", "\x07", "---", "--- a", "...", "a\n---\nb\n", "# c\n", "key: value\n", "- a\n- b\n", "{\"j\": [1, null]}", "<a&b>", "<no value>", "a.b.c", "/a/b/../c.txt",
	"Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua",
	"Lorem ipsum dolor sit amet, consectetur: adipiscing elit, sed do eiusmod tempor # incididunt ut labore et dolore magna",
	"line one of some length\nline two of some length, which is longer than eighty columns so that it could be folded somewhere\n",
	strings.Repeat("long", 40), strings.Repeat("ab ", 60), "x" + strings.Repeat(" ", 90) + "y", "Hello World", "x-y_z", "camelCaseWord", "HTTPServer2Go", "release-name", "v1.20.0-rc.1",
}

var scalarsOfYAML = []string{
	"1", "0", "-1", "3", "42", "1000000", "999999", "1234567.5", "0.1", "2.5", "1e3", "1e-7", "1.5e-7", "12345678901234567890", "9007199254740993", "-9223372036854775808", "18446744073709551616",
	"1e20", "1e21", "1e22", "123456789012345678901234567890", "0644", "0o644", "089", "0x1F", "0X1f", "0b101", "1_000", "010", "+5", "-0", "1.0", "1.10", ".5", "5.", "+.5", "1.", "1e+2", "0.1e1", "1__0", "_1",
	"true", "false", "yes", "no", "on", "off", "y", "n", "Y", "N", "True", "TRUE", "Yes", "NO", "On", "null", "Null", "NULL", "~", "", "text", "a b", "a:b", "a#b", "x-y", "-a", "--", "1.2.3", "v1", "12:30:45", "1:30", "190:20:30",
	"2020-01-01", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43.10 -5", "2020-13-01", "é", "日本語", "😀", "=", "a=b", "http://x/y?z#f", "/path", "a,b", "(x)", "a'b", "a\"b", "0x", "0xg", "0b2", "1e", "e1", "1.2e3.4", "..", ".",
	"!!str 1", "!!int \"3\"", "!!float 1", "!!bool \"yes\"", "!!binary aGk=", "!custom x", "! x", "!!null ''", "'it''s'", `"a\tb"`, `"\x41\u00e9\U0001F600"`, `"a\
  b"`, `"\0\a\b\e\f\v\N\_\L\P"`, "'a\n\n  b'", "\"a\n  b\"",
}

var keysOfYAML = append([]string{"a", "b", "c", "d", "list", "map", "num", "str", "flag", "a-b", "a.b", "10", "9", "2", "Z", "A", "_x", "a1", "a10", "a9", "name", "enabled", "é", "true", "y", "null", "1.5", "", "a b", "x/y", "~"}, "image", "tag", "on", "no", "1e3")

// any returns a tree at most depth deep.
func (g *grower) tree(depth int) tree {
	switch n := g.IntN(12); {
	case depth > 0 && n < 2:
		var m mapping
		for range g.IntN(5) {
			m = m.with(pick(g, keysOfYAML), g.tree(depth-1))
		}
		return m
	case depth > 0 && n < 4:
		items := []tree{}
		for range g.IntN(4) {
			items = append(items, g.tree(depth-1))
		}
		return items
	case n < 7:
		if text := pick(g, scalarsOfYAML); !g.tame || !strings.HasPrefix(text, `"\`) {
			return raw(text)
		}
		return true
	case n == 7:
		return nil
	default:
		return g.nasty()
	}
}

// nasty returns a text that is hard to write down.
func (g *grower) nasty() string {
	text := g.simple()
	if g.one(6) {
		text += pick(g, []string{" ", "\n", ": ", " #", "", "-", "\t"}) + g.simple()
	}
	return text
}

func (g *grower) simple() string {
	for {
		if text := pick(g, nasty); !g.tame || !strings.ContainsAny(text, "\ufeff\u0085\u2028\u2029\u007f\x00\x1b\x07") {
			return text
		}
	}
}

// met are keys that become another's text when they are not quoted; which of two that meet is kept, chance decides in Helm.
var met = map[string]string{"y": "true", "on": "true", "no": "false", "1e3": "1000"}

func (m mapping) with(key string, value tree) mapping {
	canonical := func(key string) string {
		if other, ok := met[key]; ok {
			return other
		}
		return key
	}
	for i := range m {
		if canonical(m[i].key) == canonical(key) {
			m[i].value = value
			return m
		}
	}
	return append(m, entry{key, value})
}

// writer writes a tree as YAML, each part in a style of its own.
type writer struct {
	*grower
	out     strings.Builder
	anchors int
}

// write returns a document; the tree is a mapping, mostly.
func (g *grower) write(value tree) string {
	w := &writer{grower: g}
	if g.one(30) {
		w.out.WriteString("# first\n")
	}
	if g.one(30) {
		w.out.WriteString(pick(g, []string{"---\n", "--- # words\n"}))
	}
	switch v := value.(type) {
	case mapping:
		if len(v) == 0 {
			w.out.WriteString(pick(g, []string{"{}\n", "", "# nothing\n", "null\n"}))
		} else if g.one(15) {
			w.out.WriteString(w.flow(v) + "\n")
		} else {
			w.block(v, 0)
		}
	default:
		w.out.WriteString(w.flow(v) + "\n")
	}
	if g.one(40) {
		w.out.WriteString("...\n")
	}
	return w.out.String()
}

func (w *writer) pad(indent int) { w.out.WriteString(strings.Repeat(" ", indent)) }

func (w *writer) block(m mapping, indent int) {
	for _, e := range m {
		if w.one(25) {
			w.pad(indent)
			w.out.WriteString(pick(w.grower, []string{"# c\n", "#\n", "\n"}))
		}
		w.pad(indent)
		w.out.WriteString(w.key(e.key) + ":")
		w.value(e.value, indent)
	}
}

func (w *writer) value(value tree, indent int) {
	if w.one(40) {
		w.anchors++
		fmt.Fprintf(&w.out, " &n%d", w.anchors)
	} else if w.anchors > 0 && w.one(20) {
		// An alias to what went before; to the mapping around it would be a loop.
		if scalar, ok := value.(string); ok && scalar == "" {
			w.out.WriteString(" ''\n")
			return
		}
	}
	switch v := value.(type) {
	case mapping:
		if len(v) == 0 || w.one(3) {
			w.out.WriteString(" " + w.flow(v) + "\n")
			return
		}
		w.out.WriteString("\n")
		w.block(v, indent+1+w.IntN(4))
	case []tree:
		if len(v) == 0 || w.one(3) {
			w.out.WriteString(" " + w.flow(v) + "\n")
			return
		}
		w.out.WriteString("\n")
		inner := indent
		if indent > 0 || w.one(2) {
			inner += w.IntN(3)
		}
		for _, item := range v {
			w.pad(inner)
			w.out.WriteString("-")
			if m, ok := item.(mapping); ok && len(m) > 0 && w.one(2) {
				// The first key stands beside the dash.
				nested := &writer{grower: w.grower}
				nested.block(m, inner+2)
				text := strings.TrimLeft(nested.out.String(), " ")
				if strings.HasPrefix(text, "#") || strings.HasPrefix(text, "\n") {
					w.out.WriteString(" " + w.flow(item) + "\n")
				} else {
					w.out.WriteString(" " + text)
				}
				continue
			}
			w.value(item, inner+1)
		}
	case string:
		if text, ok := w.literal(v, indent); ok && w.one(3) {
			w.out.WriteString(text)
			return
		}
		w.out.WriteString(" " + w.text(v) + "\n")
	default:
		text := w.flow(v)
		if w.one(25) && !strings.Contains(text, "\n") {
			text += " # c"
		}
		w.out.WriteString(" " + text + "\n")
	}
}

// literal writes a text as a literal block, where it may be one.
func (w *writer) literal(text string, indent int) (string, bool) {
	if text == "" || strings.ContainsAny(text, "\r\x00\x1b\x07\u0085\u2028\u2029\ufeff\u007f\t") || strings.HasPrefix(text, " ") || strings.HasPrefix(text, "\n") || strings.TrimSpace(text) == "" {
		return "", false
	}
	chomp := "-"
	body := strings.TrimRight(text, "\n")
	switch len(text) - len(body) {
	case 0:
	case 1:
		chomp = ""
	default:
		chomp = "+"
	}
	inner := strings.Repeat(" ", indent+2)
	var out strings.Builder
	out.WriteString(" |" + chomp + "\n")
	for _, line := range strings.Split(body, "\n") {
		if line == "" {
			out.WriteString("\n")
		} else {
			out.WriteString(inner + line + "\n")
		}
	}
	if chomp == "+" {
		out.WriteString(strings.Repeat("\n", len(text)-len(body)-1))
	}
	return out.String(), true
}

// quoted returns a text in double quotes that every YAML reader takes for that text.
func quoted(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return strings.NewReplacer("\u0085", `\u0085`, "\u007f", `\u007f`, "\ufeff", `\ufeff`).Replace(string(data))
}

func (w *writer) text(text string) string {
	plain := text != "" && !strings.ContainsAny(text, "\n\r\t\x00\x1b\x07\\\"'#:{}[],&*!|>%@`\u0085\u2028\u2029\ufeff\u007f\u00a0") && !strings.ContainsAny(text[:1], " -?=~+.<0123456789yYnNtTfFoO") && text == strings.TrimSpace(text) &&
		!strings.EqualFold(text, "null") && text != "---" && text != "..."
	single := !strings.ContainsAny(text, "\n\r\t\x00\x1b\x07\u0085\u2028\u2029\ufeff\u007f")
	switch n := w.IntN(3); {
	case n == 0 && plain:
		return text
	case n == 1 && single:
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	return quoted(text)
}

func (w *writer) key(key string) string {
	if w.one(4) && key != "" && strings.IndexFunc(key, func(r rune) bool { return r < 'a' || r > 'z' }) < 0 && key != "null" {
		return key
	}
	if w.one(3) && key != "null" && key != "~" && key != "" {
		return key
	}
	return quoted(key)
}

func (w *writer) flow(value tree) string {
	switch v := value.(type) {
	case nil:
		return pick(w.grower, []string{"null", "~"})
	case bool:
		return strconv.FormatBool(v)
	case raw:
		// In flow style some of them would end early.
		if strings.ContainsAny(string(v), ",[]{}?#") || v == "" || v == "=" || strings.HasPrefix(string(v), "!!null") || strings.HasPrefix(string(v), "! ") {
			return "null"
		}
		return string(v)
	case string:
		return w.text(v)
	case []tree:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = w.flow(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case mapping:
		items := make([]string, len(v))
		for i, e := range v {
			items[i] = w.key(e.key) + ": " + w.flow(e.value)
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	panic(fmt.Sprintf("%T is no part of a tree", value))
}
