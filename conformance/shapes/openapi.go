package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
)

// document is an OpenAPI 2 document, as far as it is read.
type document struct {
	Definitions map[string]*definition                `json:"definitions"`
	Paths       map[string]map[string]json.RawMessage `json:"paths"`
}

type definition struct {
	Type                 string                 `json:"type"`
	Format               string                 `json:"format"`
	Ref                  string                 `json:"$ref"`
	Items                *definition            `json:"items"`
	AdditionalProperties *definition            `json:"additionalProperties"`
	Properties           map[string]*definition `json:"properties"`
	Required             []string               `json:"required"`
	ListType             string                 `json:"x-kubernetes-list-type"`
	ListKeys             []string               `json:"x-kubernetes-list-map-keys"`
	MapType              string                 `json:"x-kubernetes-map-type"`
	PatchStrategy        string                 `json:"x-kubernetes-patch-strategy"`
	PatchKey             string                 `json:"x-kubernetes-patch-merge-key"`
	Kinds                []groupVersionKind     `json:"x-kubernetes-group-version-kind"`
}

type groupVersionKind struct {
	Group, Version, Kind string
}

// kind is one kind in one version that can be created.
type kind struct {
	groupVersionKind
	namespaced bool
	of         string
}

func (k kind) key() string {
	return strings.TrimPrefix(k.Group+"/"+k.Version, "/") + " " + k.Kind
}

func (k kind) line() string {
	scope := "cluster"
	if k.namespaced {
		scope = "namespaced"
	}
	return k.key() + " " + scope + " " + k.of
}

func readOpenAPI(file string) (*document, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	one := &document{}
	return one, json.Unmarshal(raw, one)
}

// kinds lists what can be created at the path of a collection.
func (d *document) kinds() []kind {
	types := map[groupVersionKind]string{}
	for name, definition := range d.Definitions {
		if len(definition.Kinds) == 1 {
			types[definition.Kinds[0]] = short(name)
		}
	}
	var found []kind
	for path, methods := range d.Paths {
		var post, patch struct {
			Kind groupVersionKind `json:"x-kubernetes-group-version-kind"`
		}
		if strings.HasSuffix(path, "}") || json.Unmarshal(methods["post"], &post) != nil || post.Kind.Kind == "" {
			continue
		}
		// What cannot be patched cannot be applied: reviews, bindings, evictions.
		if json.Unmarshal(d.Paths[path+"/{name}"]["patch"], &patch) != nil || patch.Kind != post.Kind {
			continue
		}
		if of := types[post.Kind]; of != "" {
			found = append(found, kind{post.Kind, strings.Contains(path, "/namespaces/{namespace}/"), of})
		}
	}
	return found
}

// short turns io.k8s.api.apps.v1.Deployment into apps.v1.Deployment.
func short(name string) string {
	parts := strings.Split(name, ".")
	return strings.Join(parts[max(0, len(parts)-3):], ".")
}

// leaves are the types that are written as one value, whatever their definition says.
var leaves = map[string]string{
	"api.resource.Quantity":                            "quantity",
	"meta.v1.Time":                                     "time",
	"meta.v1.MicroTime":                                "microtime",
	"meta.v1.FieldsV1":                                 "any",
	"util.intstr.IntOrString":                          "intstr",
	"pkg.runtime.RawExtension":                         "{any}~",
	"apiextensions.v1.JSON":                            "any",
	"apiextensions.v1.JSONSchemaPropsOrBool":           "any",
	"apiextensions.v1.JSONSchemaPropsOrArray":          "any",
	"apiextensions.v1.JSONSchemaPropsOrStringArray":    "any",
	"apiextensions.v1.CustomResourceSubresourceStatus": "any",
}

// extraRoots are written down though no object is of their kind: bodies of subresources.
var extraRoots = []string{"autoscaling.v1.Scale", "policy.v1.Eviction", "meta.v1.DeleteOptions", "meta.v1.Condition"}

// types returns the line of every type that an object can hold, by name.
func (d *document) types(values values, zeros map[field]string) map[string]string {
	byName := map[string]*definition{}
	for name, definition := range d.Definitions {
		byName[short(name)] = definition
	}
	lines := map[string]string{}
	open := append([]string{}, extraRoots...)
	for _, kind := range d.kinds() {
		open = append(open, kind.of)
	}
	for len(open) > 0 {
		name := open[len(open)-1]
		open = open[:len(open)-1]
		definition := byName[name]
		if _, known := lines[name]; known || definition == nil || leaves[name] != "" {
			continue
		}
		line := writer{name: name, of: definition, values: values, zeros: zeros}
		lines[name] = line.write()
		open = append(open, line.refers...)
	}
	return lines
}

type writer struct {
	name   string
	of     *definition
	values values
	zeros  map[field]string
	refers []string
}

func (w *writer) write() string {
	var out strings.Builder
	out.WriteString(w.name)
	if w.of.MapType == "atomic" {
		out.WriteString("~")
	}
	required := map[string]bool{}
	for _, name := range w.of.Required {
		required[name] = true
	}
	var names []string
	for name := range w.of.Properties {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		of := w.of.Properties[name]
		at := field{w.name, name}
		out.WriteString(" " + name)
		if required[name] {
			out.WriteString("!")
		}
		out.WriteString(":" + w.typed(of, w.values.enums[at]) + w.zeros[at])
		if value, ok := w.values.defaults[at]; ok && !required[name] {
			out.WriteString("=" + value)
		}
		for _, strategy := range strings.Split(of.PatchStrategy, ",") {
			switch {
			case strategy == "merge" && of.PatchKey != "":
				out.WriteString("%merge(" + of.PatchKey + ")")
			case strategy == "merge":
				out.WriteString("%merge")
			case strategy == "retainKeys":
				out.WriteString("%retain")
			}
		}
	}
	return out.String()
}

func (w *writer) typed(of *definition, enum []string) string {
	atomic := func(text string) string {
		switch of.MapType {
		case "atomic":
			return text + "~"
		case "granular":
			return text + "^"
		}
		return text
	}
	if of.Ref != "" {
		name := short(strings.TrimPrefix(of.Ref, "#/definitions/"))
		if leaf := leaves[name]; leaf != "" {
			return leaf
		}
		w.refers = append(w.refers, name)
		return atomic(name)
	}
	switch of.Type {
	case "array":
		item := "[" + w.typed(of.Items, enum) + "]"
		switch of.ListType {
		case "set":
			return item + "set"
		case "map":
			return item + "map(" + strings.Join(of.ListKeys, ",") + ")"
		}
		return item
	case "object":
		if of.AdditionalProperties == nil {
			return atomic("{any}")
		}
		return atomic("{" + w.typed(of.AdditionalProperties, enum) + "}")
	case "string":
		if of.Format == "byte" {
			return "bytes"
		}
		if len(enum) > 0 {
			return "string(" + strings.Join(enum, "|") + ")"
		}
		return "string"
	case "integer":
		if of.Format == "int32" {
			return "int32"
		}
		return "int"
	case "number":
		return "number"
	case "boolean":
		return "bool"
	}
	return "any"
}

// ranges collects lines with the versions that have them.
type ranges map[string][]span

type span struct {
	first, last int
	line        string
}

func (r ranges) add(minor int, key, line string) {
	spans := r[key]
	if last := len(spans) - 1; last >= 0 && spans[last].line == line && spans[last].last == minor-1 {
		spans[last].last = minor
		return
	}
	r[key] = append(spans, span{minor, minor, line})
}

func (r ranges) text() string {
	var keys []string
	for key := range r {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	var out strings.Builder
	for _, key := range keys {
		for _, span := range r[key] {
			fmt.Fprintf(&out, "%d-%d %s\n", span.first, span.last, span.line)
		}
	}
	return out.String()
}
