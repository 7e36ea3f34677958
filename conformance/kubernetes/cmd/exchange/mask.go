// What cannot be the same in two runs, and the names it is given instead. Equal values keep equal names within a case.

package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// names gives a lasting name to what is new in every run, in the order of appearance (keys of an object in sorted
// order), so that equal stays equal and different stays different:
//
//	<uid 1>      a uid, also inside of messages
//	<rv 1>       resourceVersion of an object (it has a uid), also inside of messages
//	<list rv>    resourceVersion of a list, a bookmark, a table: the latest one when used in a request
//	<continue>   a continue token: the latest one when used in a request
//	<time>       any RFC 3339 time
//	<ip>         clusterIP, clusterIPs
//	<text>       description: prose of a schema or of a table's column
//
// Where the order of a list is left to chance (causes of a conflict) or to the second of a write (managedFields), the
// list is sorted.
type names struct {
	uids, versions map[string]string // value -> name
	values         map[string]string // name -> value, for requests
}

func newNames() *names {
	return &names{uids: map[string]string{}, versions: map[string]string{}, values: map[string]string{}}
}

var timePattern = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)

// unmask fills the names of a request with their values. A name that nothing was given is sent as it is.
func (n *names) unmask(r request) request {
	for name, value := range n.values {
		r.Path = strings.ReplaceAll(r.Path, name, value)
		r.Body = json.RawMessage(strings.ReplaceAll(string(r.Body), name, value))
	}
	return r
}

func (n *names) mask(r response) response {
	n.learn(r.Body)
	for _, event := range r.Events {
		n.learn(event)
	}
	r.Body = n.replaced("", r.Body)
	for i := range r.Events {
		r.Events[i] = n.replaced("", r.Events[i])
	}
	return r
}

func sorted(list []any, keys ...string) {
	rank := func(item any) string {
		fields, _ := item.(map[string]any)
		var parts []string
		for _, key := range keys {
			text, _ := fields[key].(string)
			parts = append(parts, text)
		}
		return strings.Join(parts, "\x00")
	}
	slices.SortStableFunc(list, func(a, b any) int { return strings.Compare(rank(a), rank(b)) })
}

// learn walks a value and names what is new in it.
func (n *names) learn(value any) {
	switch value := value.(type) {
	case map[string]any:
		uid, _ := value["uid"].(string)
		if uid != "" {
			n.give(n.uids, uid, "uid")
		}
		if version, ok := value["resourceVersion"].(string); ok && version != "" {
			if uid != "" {
				n.give(n.versions, version, "rv")
			} else {
				n.values["<list rv>"] = version
			}
		}
		if token, ok := value["continue"].(string); ok && token != "" {
			n.values["<continue>"] = token
		}
		for _, key := range keysOf(value) {
			n.learn(value[key])
		}
	case []any:
		for _, item := range value {
			n.learn(item)
		}
	}
}

func (n *names) give(known map[string]string, value, kind string) {
	if _, ok := known[value]; ok {
		return
	}
	name := fmt.Sprintf("<%s %d>", kind, len(known)+1)
	known[value] = name
	n.values[name] = value
}

func (n *names) replaced(key string, value any) any {
	switch value := value.(type) {
	case map[string]any:
		_, hasUID := value["uid"]
		for inner, item := range value {
			text, isText := item.(string)
			switch {
			case isText && inner == "resourceVersion" && !hasUID && text != "":
				value[inner] = "<list rv>"
			case isText && inner == "resourceVersion" && n.versions[text] != "":
				value[inner] = n.versions[text]
			case isText && inner == "continue" && text != "":
				value[inner] = "<continue>"
			default:
				value[inner] = n.replaced(inner, item)
			}
		}
		return value
	case []any:
		for i := range value {
			value[i] = n.replaced(key, value[i])
		}
		switch key {
		case "managedFields":
			sorted(value, "operation", "manager", "apiVersion", "subresource")
		case "causes":
			sorted(value, "field", "message")
		}
		return value
	case string:
		return n.text(key, value)
	default:
		return value
	}
}

func (n *names) text(key, text string) string {
	if key == "description" {
		return "<text>"
	}
	if (key == "clusterIP" || key == "clusterIPs") && text != "None" && text != "" {
		return "<ip>"
	}
	for uid, name := range n.uids {
		text = strings.ReplaceAll(text, uid, name)
	}
	if key == "message" {
		for version, name := range n.versions {
			text = regexp.MustCompile(`\b`+version+`\b`).ReplaceAllLiteralString(text, name)
		}
	}
	return timePattern.ReplaceAllString(text, "<time>")
}

// controllers are the managers whose writes come at their own time.
var controllers = map[string]bool{"kube-controller-manager": true, "kube-scheduler": true, "kubelet": true, "kube-apiserver": true}

const revisionAnnotation = "deployment.kubernetes.io/revision"

// withoutControllers takes out of an object what controllers write.
func withoutControllers(body any) {
	object, _ := body.(map[string]any)
	metadata, _ := object["metadata"].(map[string]any)
	if metadata == nil || metadata["uid"] == nil {
		return
	}
	delete(object, "status")
	delete(metadata, "resourceVersion")
	if annotations, ok := metadata["annotations"].(map[string]any); ok {
		delete(annotations, revisionAnnotation)
		if len(annotations) == 0 {
			delete(metadata, "annotations")
		}
	}
	entries, _ := metadata["managedFields"].([]any)
	kept := []any{}
	for _, entry := range entries {
		fields, _ := entry.(map[string]any)
		if manager, _ := fields["manager"].(string); !controllers[manager] {
			kept = append(kept, entry)
		}
	}
	metadata["managedFields"] = kept
}
