package main

import (
	"fmt"
	"strconv"
	"strings"

	"conformance/helm/internal/sdk"
)

// member is one chart of the tree that a case is made of.
type member struct {
	name, folder string
	library      bool
	subcharts    []*member
}

var kindsOfObjects = []string{
	"ConfigMap", "Secret", "Service", "Deployment", "Namespace", "Role", "RoleBinding", "ClusterRole", "ServiceAccount", "Ingress", "Job", "CronJob", "CustomResourceDefinition", "Pod", "StatefulSet",
	"HorizontalPodAutoscaler", "PodDisruptionBudget", "APIService", "Widget", "Gadget", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "PriorityClass", "NetworkPolicy", "StorageClass", "List", "", "configmap",
}

var hooksOfHelm = []string{"pre-install", "post-install", "pre-delete", "post-delete", "pre-upgrade", "post-upgrade", "pre-rollback", "post-rollback", "test", "test-success", "crd-install", "nope", "", "pre-install,post-install", " pre-install , test", "PRE-INSTALL", "test-failure", "pre-install,nope"}

// whole returns a case about a whole chart: its tree, its values from everywhere, and what comes out as a stream.
func (g *grower) whole() sdk.Request {
	g.tame = true
	root := g.member("c", "", 2)
	files := map[string]string{}
	g.chart(root, root, files)
	request := sdk.Request{Files: files, Stream: true, CRDs: g.one(2), NoHook: g.one(4), Upgrade: g.one(4)}
	for range g.IntN(3) {
		request.Layers = append(request.Layers, g.write(g.treeValues(root, 3)))
	}
	g.flags(root, &request)
	if g.one(5) {
		request.Name = pick(g, []string{"r", "my-release", "a.b", "x1"})
	}
	if g.one(5) {
		request.Namespace = pick(g, []string{"kube-system", "n-1"})
	}
	if g.one(4) {
		request.Kube = pick(g, []string{"1.28.3", "v1.20.0", "v1.30.2-gke.1", "1.29", "v1.27.3+rke2r1"})
	}
	if g.one(4) {
		request.APIs = []string{"monitoring.coreos.com/v1", "x.io/v1/Y"}
	}
	return request
}

func (g *grower) member(name, folder string, depth int) *member {
	m := &member{name: name, folder: folder}
	if depth == 0 {
		return m
	}
	for _, child := range []string{"sub", "other", "lib", "a-b"} {
		if g.one(3) {
			below := g.member(child, folder+"charts/"+child+"/", depth-1)
			below.library = child == "lib"
			m.subcharts = append(m.subcharts, below)
		}
	}
	return m
}

// dependency is what a chart says of a subchart.
type dependency struct{ name, alias string }

func (g *grower) dependencies(m *member, out *strings.Builder) []dependency {
	var all []dependency
	used := map[string]bool{}
	if len(m.subcharts) > 0 {
		out.WriteString("dependencies:\n")
	}
	for _, sub := range m.subcharts {
		if g.one(8) {
			// Not named: taken along as it is.
			all = append(all, dependency{sub.name, ""})
			continue
		}
		times := 1
		if g.one(6) {
			times = 2
		}
		for time := range times {
			d := dependency{name: sub.name}
			fmt.Fprintf(out, "- name: %s\n", sub.name)
			if g.IntN(8) > 0 {
				fmt.Fprintf(out, "  version: %s\n", pick(g, []string{`"0.1.0"`, `"~0.1"`, `">=0.1.0"`, `"^0.1.0"`, `"*"`, `"9.9.9"`}))
			}
			if g.one(2) {
				out.WriteString("  repository: https://charts.example.com\n")
			}
			if time == 1 || g.one(4) {
				d.alias = pick(g, []string{"alias", "second", "al-ias"})
				for used[d.alias] && !g.fault(10) {
					d.alias += "x"
				}
				used[d.alias] = true
				fmt.Fprintf(out, "  alias: %s\n", d.alias)
			}
			if g.one(3) {
				key := sub.name
				if d.alias != "" {
					key = d.alias
				}
				fmt.Fprintf(out, "  condition: %s\n", pick(g, []string{key + ".enabled", "flag.a", "global.on", key + ".nope, flag.b", "text.a,flag.a", "sub.enabled", "nope"}))
			}
			if g.one(3) {
				out.WriteString("  tags: [" + pick(g, []string{"front", "front, back", "back", "x"}) + "]\n")
			}
			if g.one(3) {
				out.WriteString("  import-values:\n")
				for range 1 + g.IntN(2) {
					out.WriteString(pick(g, []string{"  - data\n", "  - more\n", "  - {child: exports.data, parent: imported}\n", "  - {child: maps.a, parent: maps.b}\n", "  - {child: text, parent: text}\n", "  - {child: nope, parent: x}\n", "  - {child: maps, parent: .}\n", "  - child: number\n    parent: deep.er.number\n"}))
				}
			}
			all = append(all, d)
		}
	}
	return all
}

func (g *grower) chart(root, m *member, files map[string]string) {
	var head strings.Builder
	fmt.Fprintf(&head, "apiVersion: v2\nname: %s\nversion: %s\n", m.name, pick(g, []string{"0.1.0", `"0.1.0"`, "0.1.0"}))
	if m.library {
		head.WriteString("type: library\n")
	} else if g.one(4) {
		head.WriteString("type: application\n")
	}
	if g.one(3) {
		head.WriteString("appVersion: " + pick(g, []string{`"1.0"`, "1.0", "v2", `"1e3"`, "1_000"}) + "\n")
	}
	if g.one(6) {
		head.WriteString("description: " + strconv.QuoteToASCII("words é") + "\nkeywords: [a, b]\nhome: https://x\nsources: [u]\nicon: i\n")
	}
	if g.one(6) {
		head.WriteString("annotations: {a: b, \"c.d/e\": \"1\"}\nmaintainers:\n- {name: n, email: e}\n- {name: o, url: u}\n")
	}
	if g.one(8) {
		head.WriteString("kubeVersion: " + strconv.Quote(pick(g, g.choice([]string{">=1.20", ">=1.20.0-0", "<2-0", "^1.19-0"}, []string{">=1.40", "x", ">=1.37 || <1.10"}))) + "\n")
	}
	dependencies := g.dependencies(m, &head)
	files[m.folder+"Chart.yaml"] = head.String()
	if g.IntN(10) > 0 {
		files[m.folder+"values.yaml"] = g.write(g.treeValues(m, 7))
	}
	if g.one(5) {
		files[m.folder+"values.schema.json"] = g.schema()
	}
	if g.one(3) {
		files[m.folder+"config/a.conf"] = g.nasty() + "\n" + g.nasty()
		files[m.folder+"config/b.txt"] = "é\n"
		files[m.folder+"config/deep/c.json"] = `{"x": [1, 2.5], "y": null}`
		files[m.folder+"README.md"] = "# " + m.name + "\n"
	}
	if g.one(6) {
		files[m.folder+"crds/crd.yaml"] = "kind: CustomResourceDefinition\n# {{ not a template }}\n"
		files[m.folder+"crds/b.yaml"] = pick(g, []string{"", "a: 1\n---\nb: 2\n", "\n---\nx: 1"})
	}
	g.templates(m, dependencies, files)
	for _, sub := range m.subcharts {
		g.chart(root, sub, files)
	}
}

// templates puts in objects of many kinds, what each chart sees, and what charts lend each other.
func (g *grower) templates(m *member, dependencies []dependency, files map[string]string) {
	t := &typed{grower: g, root: "$"}
	helpers := "{{- define \"" + m.name + ".name\" -}}{{ .Chart.Name }}-{{ .Values.nope | default `none` }}{{- end -}}\n" +
		"{{- define \"shared\" -}}" + m.folder + ":{{ . | typeOf }}{{- end }}\n" +
		"{{- define \"" + m.name + ".count\" -}}{{ if gt (int .) 0 }}{{ . }},{{ include \"" + m.name + ".count\" (sub . 1) }}{{ end }}{{- end -}}\n"
	files[m.folder+"templates/_helpers.tpl"] = helpers
	t.partials = []string{"shared"}
	if m.library {
		if g.one(4) {
			files[m.folder+"templates/ignored.yaml"] = "kind: Never\n{{ fail `never` }}"
		}
		return
	}
	seen := "values: {{ .Values | toJson }}\nchart: {{ .Chart | toJson }}\nname: {{ include \"" + m.name + ".name\" . }}\ncount: {{ include \"" + m.name + ".count\" 3 | quote }}\nshared: {{ include \"shared\" . }}\nfiles:\n{{- range $p, $c := .Files }}\n- {{ $p }}: {{ len $c }}\n{{- end }}\n"
	for _, d := range dependencies {
		name := d.name
		if d.alias != "" {
			name = d.alias
		}
		if g.one(2) {
			seen += fmt.Sprintf("%s: {{ (index .Subcharts %q).Values | toJson }}\n", name, name)
		}
		if d.name == "lib" && g.one(2) {
			seen += "lib: {{ include \"lib.name\" . }}\n"
		}
	}
	if g.one(4) {
		seen += "release: {{ .Release | toJson }}\ncapabilities: {{ .Capabilities.KubeVersion | toJson }}\nhas: {{ .Capabilities.APIVersions.Has \"x.io/v1/Y\" }}\ntemplate: {{ .Template | toJson }}\n"
	}
	files[m.folder+"templates/seen.yaml"] = seen
	for _, name := range []string{"a.yaml", "o1.yaml", "o2.yml", "z.yaml", "deep/er/x.yaml", "plain.txt", "_partial.yaml"} {
		if !g.one(3) {
			continue
		}
		var out strings.Builder
		for range 1 + g.IntN(3) {
			out.WriteString(pick(g, []string{"---\n", "---\n", "", "\n---\n", "--- \n", "---\n# c\n", "---\n---\n", "\n\n", "--- # c\n", "---\t\n"}))
			out.WriteString(g.object(t))
		}
		files[m.folder+"templates/"+name] = out.String()
	}
	if g.one(4) {
		files[m.folder+"templates/mutate.yaml"] = g.mutation(dependencies)
	}
	if g.one(8) {
		files[m.folder+"templates/NOTES.txt"] = "notes {{ .Release.Name }}\n" + pick(g, g.choice([]string{""}, []string{"{{ fail `noted` }}", "{{ .Values.nope.x }}", "{{"}))
	}
}

// object returns a document, mostly an object of Kubernetes.
func (g *grower) object(t *typed) string {
	if g.fault(12) {
		return pick(g, []string{"\tx\n", "[1]\n", "text\n", "a: b: c\n", "kind: [x]\n", "metadata: []\n", "metadata: {annotations: {a: 1}}\n", "metadata: {annotations: []}\n", "1\n", "true\n", "kind: {}\n", "metadata: {name: [x]}\n", "a: [1\n", "x: *y\n"})
	}
	if g.one(12) {
		return pick(g, []string{"", "# only words\n", "a: 1\n", "\n", "{}\n", "null\n", "kind: ~\n", "   \n", "{kind: Secret, metadata: {annotations: {\"helm.sh/hook\": test}}}\n", "# c\n\nkind: Job\n", "kind: A\nkind: B\n", "kind: &k Pod\nx: *k\n", "kind: 1\n", "metadata: {name: 1}\n", "metadata: {annotations: {a: ~}}\n", "metadata:\n", "kind: \"Pod\" # c\n", "kind: >-\n  Pod\n", "\"kind\": Pod\n"})
	}
	var out strings.Builder
	fmt.Fprintf(&out, "apiVersion: v1\nkind: %s\nmetadata:\n  name: %s\n", pick(g, kindsOfObjects), pick(g, []string{"x", "{{ .Release.Name }}", "{{ .Chart.Name }}", "b", "a"}))
	if g.one(3) {
		fmt.Fprintf(&out, "  annotations:\n    \"helm.sh/hook\": %s\n", quoted(pick(g, hooksOfHelm)))
		if g.one(2) {
			fmt.Fprintf(&out, "    \"helm.sh/hook-weight\": %s\n", strconv.Quote(pick(g, []string{"1", "-5", "x", "0", "10"})))
		}
		if g.one(3) {
			fmt.Fprintf(&out, "    \"helm.sh/hook-delete-policy\": %s\n", strconv.Quote(pick(g, []string{"hook-succeeded", "before-hook-creation,hook-failed", "nope"})))
		}
	} else if g.one(4) {
		out.WriteString(pick(g, []string{"  annotations: {}\n", "  annotations:\n", "  annotations: {\"helm.sh/resource-policy\": keep}\n", "  labels: {a: b}\n"}))
	}
	switch g.IntN(4) {
	case 0:
		out.WriteString("data:\n  v: {{ " + t.expression(pick(g, []byte("snblmx")), 2) + " | toJson }}\n")
	case 1:
		out.WriteString("data: {{ .Values." + pick(g, []string{"maps", "any", "text", "global", "nope", "lists"}) + " | toYaml | nindent 2 }}\n")
	case 2:
		out.WriteString("data: {{- (.Files.Glob \"config/*\")." + pick(g, []string{"AsConfig", "AsSecrets"}) + " | nindent 2 }}\n")
	}
	return out.String()
}

// mutation changes what other templates see, and when it does depends on Helm's order.
func (g *grower) mutation(dependencies []dependency) string {
	var out strings.Builder
	for range 1 + g.IntN(3) {
		out.WriteString(pick(g, []string{
			"{{ $_ := set .Values \"set\" (dict \"by\" .Template.Name) }}", "{{ $_ := unset .Values \"text\" }}", "{{ $_ := set .Values.global \"set\" .Chart.Name }}",
			"{{ $_ := merge .Values (dict \"text\" (dict \"z\" 1) \"new\" (list 1)) }}", "{{ $_ := mergeOverwrite .Values (dict \"number\" (dict \"a\" nil \"z\" 0)) }}",
			"{{ $v := deepCopy .Values }}{{ $_ := set $v \"deep\" 1 }}copy: {{ hasKey .Values \"deep\" }}\n", "{{ $_ := set . \"Extra\" 1 }}extra: {{ .Extra }}\n",
			"{{ $_ := set .Values \"any\" nil }}", "{{ $_ := set .Release \"Extra\" \"x\" }}", "{{ with .Values.maps }}{{ range $k, $v := . }}{{ if kindIs \"map\" $v }}{{ $_ := set $v \"touched\" $k }}{{ end }}{{ end }}{{ end }}",
		}))
	}
	for _, d := range dependencies {
		if g.one(2) && d.alias == "" {
			fmt.Fprintf(&out, "{{ with index .Values %q }}{{ $_ := set . \"fromParent\" $.Chart.Name }}{{ end }}", d.name)
		}
	}
	return out.String() + "\nkind: Mutation\n"
}

// treeValues returns values of a chart and of those below it.
func (g *grower) treeValues(m *member, keep int) mapping {
	values := g.typedValues(keep)
	for _, sub := range m.subcharts {
		if g.one(2) {
			var below tree = g.treeValues(sub, 2)
			if g.fault(12) {
				below = pick(g, []tree{nil, raw("1"), raw("text"), []tree{}, mapping{}})
			}
			name := sub.name
			if g.one(4) {
				name = pick(g, []string{"alias", "second", "al-ias"})
			}
			values = values.with(name, below)
		}
	}
	if g.one(2) {
		var global mapping
		for range g.IntN(4) {
			global = global.with(pick(g, []string{"on", "a", "b", "sub", "image"}), g.tree(2))
		}
		values = values.with("global", global)
		if g.fault(20) {
			values = values.with("global", pick(g, []tree{nil, raw("1"), []tree{}}))
		}
	}
	if g.one(2) {
		values = values.with("enabled", g.one(2))
	}
	if g.one(3) {
		values = values.with("tags", mapping{{"front", g.one(2)}, {"back", g.one(2)}})
	}
	if g.one(3) {
		values = values.with("exports", mapping{{"data", mapping{{"imported", g.tree(2)}, {"text", mapping{{"a", "exported"}}}}}, {"more", g.tree(2)}})
	}
	// Nothing over something, on every level.
	if g.one(3) {
		values = values.with(pick(g, []string{"any", "maps", "x", "imported"}), nil)
	}
	if g.one(4) {
		values = values.with("maps", mapping{{"a", nil}, {pick(g, []string{"b", "c", "d"}), mapping{{"a", nil}, {"k", g.tree(1)}}}})
	}
	return values
}

var pathsOfSet = []string{"any.a", "maps.a.k", "maps.b.a", "lists.a[0]", "lists.a[2].k", "number.a", "text.b", "new", "new.er.still", "a\\.b", "maps.a.x/y", "global.on", "sub.enabled", "sub.text.a", "other.any.a", "tags.front", "x[0][1]", "any", "flag.a", "alias.any.b", "lists.b[1]", "sub", "any.a.b.c"}

var valuesOfSet = []string{"1", "true", "null", "text", "", "a b", "007", "1.5", "{a,b}", "{}", "{1,x,null}", "a\\,b", "1e3", "-3", "9223372036854775808", "false", "\"q\"", "é", "0", "x=y", "{a,{b}", "~", "[1]", "0x10", " lead"}

// flags puts in arguments of --set and its relatives.
func (g *grower) flags(root *member, request *sdk.Request) {
	line := func() string {
		text := pick(g, pathsOfSet) + "=" + pick(g, valuesOfSet)
		if g.one(4) {
			text += "," + pick(g, pathsOfSet) + "=" + pick(g, valuesOfSet)
		}
		if g.fault(10) {
			text = pick(g, []string{"a", "=1", "a[x]=1", "a[-1]=1", "a[0=1", "a.=1", ".a=1", "a=1,", ",a=1", "a[65537]=1", "a={1", "a=1,b", "[0]=1", "a[0].=2", "a..b=1", "a[0]b=1", "a=", "a\\=b=1"})
		}
		return text
	}
	for range g.IntN(8) / 6 {
		request.Set = append(request.Set, line())
	}
	if g.one(6) {
		request.Set = append(request.Set, line(), line())
	}
	if g.one(8) {
		request.SetString = append(request.SetString, line())
	}
	if g.one(8) {
		request.SetLiteral = append(request.SetLiteral, pick(g, pathsOfSet)+"="+pick(g, valuesOfSet))
	}
	if g.one(8) {
		json := pick(g, []string{`{"any": {"a": [1, null, {"x": 1.5}]}}`, "maps.a={\"k\": [1, 2e3], \"z\": null}", "lists.a=[1,{\"a\":null}]", "number.a=12,text.a=\"x\"", "any=null", `{"sub": {"enabled": true}, "number": {"a": 1}}`, "x.y=\"é\\u00e9\"", "any.a=1.0", "lists.a[1]=true", "flag.a=false"})
		if g.fault(6) {
			json = pick(g, []string{"a={", "a=1 2", "{\"a\": 1", "a=x", "a", "{\"a\": 1}}"})
		}
		request.SetJSON = append(request.SetJSON, json)
	}
}

// schema returns a JSON Schema that values meet, mostly.
func (g *grower) schema() string {
	kinds := map[string]string{"text": `{"type": "object", "additionalProperties": {"type": "string"}}`, "number": `{"type": "object", "additionalProperties": {"type": ["number", "integer"]}}`, "flag": `{"type": "object", "additionalProperties": {"type": "boolean"}}`, "lists": `{"type": "object", "additionalProperties": {"type": "array", "maxItems": ` + pick(g, g.choice([]string{"9"}, []string{"2"})) + `}}`, "texts": `{"additionalProperties": {"items": {"type": "string", "minLength": 0, "maxLength": ` + pick(g, g.choice([]string{"900"}, []string{"50"})) + `}}}`, "global": `{"type": "object"}`, "enabled": `{"enum": [true, false]}`, "any": `{"not": {"type": "string"}}`, "maps": `{"type": "object", "maxProperties": ` + pick(g, g.choice([]string{"9"}, []string{"2"})) + `}`}
	var out []string
	for _, name := range sorted(kinds) {
		if g.one(3) {
			out = append(out, strconv.Quote(name)+": "+kinds[name])
		}
	}
	text := `{"$schema": ` + strconv.Quote(pick(g, []string{"http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/schema#"})) + `, "type": "object", "properties": {` + strings.Join(out, ", ") + "}"
	if g.fault(6) {
		text += `, "required": ["text", "more"]`
	}
	if g.fault(6) {
		text += `, "additionalProperties": false`
	}
	return text + "}"
}

// documents returns a case about YAML: what is read, what is seen of it, and what is written.
func (g *grower) documents() sdk.Request {
	var m mapping
	for range 1 + g.IntN(8) {
		m = m.with(pick(g, keysOfYAML), g.tree(4))
	}
	template := "json: {{ .Values | toJson }}\nraw: {{ .Values | toRawJson }}\nprinted: {{ .Values }}\nyaml:\n{{ .Values | toYaml | indent 2 }}\n"
	for range 1 + g.IntN(3) {
		template += pick(g, []string{"pretty:\n{{ .Values | toYamlPretty | indent 2 }}\n", "again: {{ .Values | toYaml | fromYaml | toJson }}\n", "loop: {{ .Values | toJson | fromJson | toYaml | fromYaml | toPrettyJson }}\n", "toml:\n{{ .Values.AsMap | toToml }}\n",
			"{{ range $k, $v := .Values }}{{ printf \"%q %T %v\" $k $v $v }} {{ $v | quote }} {{ $v | toString | len }}\n{{ end }}", "sum: {{ .Values | toYaml | sha256sum }}\n", "{{ range $k, $v := .Values }}{{ $k }}: {{ toYaml $v | nindent 2 }}\n{{ end }}",
			"{{ range $k, $v := .Values }}{{ $k | quote }}: {{ $v | toYaml | quote }}\n{{ end }}", "go: {{ printf \"%#v\" .Values.a }} {{ printf \"%+v\" .Values }}\n", "{{ range $k, $v := .Values }}{{ typeOf $v }} {{ int $v }} {{ float64 $v }} {{ toString $v | squote }}\n{{ end }}", "{{ .Values | toYaml | fromYaml | toYaml }}\n", "{{ .Values | toYamlPretty | fromYaml | toYaml | b64enc }}\n"})
	}
	request := sdk.Request{Files: map[string]string{"values.yaml": g.write(m), "templates/a.txt": template}}
	if g.one(3) {
		var over mapping
		for range 1 + g.IntN(4) {
			over = over.with(pick(g, keysOfYAML), g.tree(2))
		}
		request.Layers = []string{g.write(over)}
		if g.one(3) {
			request.Layers[0] += "---\n" + g.write(over)
		}
	}
	return request
}

// calls returns a case about functions: typed expressions over typed values.
func (g *grower) calls() sdk.Request {
	t := &typed{grower: g, root: "$"}
	helpers := "{{- define \"static\" -}}[{{ . | toJson }}]{{- end -}}\n"
	t.partials = []string{"static"}
	for _, name := range []string{"one", "two"} {
		inner := &typed{grower: g, root: "$.nope", partials: t.partials}
		helpers += "{{- define \"" + name + "\" }}" + g.text() + g.action(inner.atomic(2)) + "{{ . | typeOf }}" + g.text() + "{{ end }}\n"
		t.partials = append(t.partials, name)
	}
	files := map[string]string{"values.yaml": g.write(g.typedValues(8)), "templates/_helpers.tpl": helpers, "templates/a.txt": t.lines(2 + g.IntN(6))}
	if g.one(3) {
		files["config/a.conf"] = "a=1\nb=2\n"
		files["config/deep/c.json"] = `{"x": 1}`
		files["README.md"] = "# é\n"
	}
	if g.one(4) {
		files["templates/b.txt"] = t.lines(2)
	}
	request := sdk.Request{Files: files}
	if g.one(3) {
		request.Layers = append(request.Layers, g.write(g.typedValues(2)))
	}
	return request
}
