// A case file: how it is read, played, compared and written. Knows nothing of HTTP (server.go) and of what may differ
// between two runs (mask.go). A recorded case compared with the server it was recorded on has no difference.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"sort"
	"strings"
	"time"
)

// recording is a case file: requests in order, each with the answer that was recorded.
type recording struct {
	// Question says what the case is about.
	Question string `json:"question"`
	// Namespaces are created before the first step and deleted after the last, unrecorded.
	Namespaces []string `json:"namespaces"`
	// Cluster are paths of cluster-scoped objects that the steps leave behind; deleted after the last step.
	Cluster []string `json:"cluster,omitempty"`
	Steps   []step   `json:"steps"`
}

type step struct {
	Note     string   `json:"note,omitempty"`
	Request  request  `json:"request"`
	Response response `json:"response"`
}

// request is sent as it stands, with the names of mask.go replaced by what they stand for at that moment.
type request struct {
	Method      string          `json:"method"`
	Path        string          `json:"path"`
	ContentType string          `json:"contentType,omitempty"`
	Accept      string          `json:"accept,omitempty"`
	Body        json.RawMessage `json:"body,omitempty"`
	// Events is the number of lines to read of a watch before it is closed; zero for any other request.
	Events int `json:"events,omitempty"`
	// Controlled marks an answer about an object that controllers write to at the same time: what they own is
	// taken out of it (status, resourceVersion, their annotation and managedFields entries).
	Controlled bool `json:"controlled,omitempty"`
	// Until is the code of the answer that is waited for: the request is sent again until it comes.
	Until int `json:"until,omitempty"`
	// Verdict keeps of the answer only whether the request was taken, why not, and what the server warns of.
	Verdict bool `json:"verdict,omitempty"`
}

type response struct {
	Code int `json:"code"`
	// Body is the JSON answer, or the text of another one as a string. Events has the lines of a watch.
	Body   any   `json:"body,omitempty"`
	Events []any `json:"events,omitempty"`
	// Warnings are the texts of the answer's Warning headers; only of a verdict.
	Warnings []string `json:"warnings,omitempty"`
}

// The longest time that a namespace of an earlier run may take to go away.
const namespacePatience = 30 * time.Second

func readCase(file string) (*recording, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	one := &recording{}
	return one, decoder.Decode(one)
}

// write lays a case out for review: a note, a request and a response are one line each.
func (c *recording) write(file string, answers []response) error {
	var out strings.Builder
	fmt.Fprintf(&out, "{\n\"question\": %s,\n\"namespaces\": %s,\n", inJSON(c.Question), inJSON(c.Namespaces))
	if len(c.Cluster) > 0 {
		fmt.Fprintf(&out, "\"cluster\": %s,\n", inJSON(c.Cluster))
	}
	out.WriteString("\"steps\": [")
	for i, step := range c.Steps {
		if i > 0 {
			out.WriteString(",")
		}
		fmt.Fprintf(&out, "\n{\"note\": %s,\n \"request\": %s,\n \"response\": %s}", inJSON(step.Note), inJSON(step.Request), inJSON(answers[i]))
	}
	out.WriteString("\n]\n}\n")
	if !json.Valid([]byte(out.String())) {
		return errors.New("an answer cannot be written as JSON")
	}
	return os.WriteFile(file, []byte(out.String()), 0o644)
}

// play sends every request and returns the answers, masked.
func (c *recording) play(ctx context.Context, server *server) ([]response, error) {
	for _, namespace := range c.Namespaces {
		if err := server.createNamespace(ctx, namespace); err != nil {
			return nil, err
		}
	}
	defer func() {
		for _, path := range c.Cluster {
			_, _ = server.send(ctx, request{Method: http.MethodDelete, Path: path})
		}
		for _, namespace := range c.Namespaces {
			_, _ = server.send(ctx, request{Method: http.MethodDelete, Path: "/api/v1/namespaces/" + namespace})
		}
	}()
	names := newNames()
	answers := make([]response, 0, len(c.Steps))
	for i, step := range c.Steps {
		answer, err := server.sendUntil(ctx, names.unmask(step.Request))
		if err != nil {
			return nil, fmt.Errorf("step %d: %w", i+1, err)
		}
		if step.Request.Controlled {
			withoutControllers(answer.Body)
		}
		answers = append(answers, names.mask(answer))
	}
	return answers, nil
}

// compare returns a line for each step whose answer is not the recorded one.
func (c *recording) compare(answers []response) []string {
	var lines []string
	for i, step := range c.Steps {
		var found []string
		difference("", reencoded(step.Response), reencoded(answers[i]), &found)
		if len(found) > 0 {
			lines = append(lines, fmt.Sprintf("step %d %s %s (%s):\n    %s", i+1, step.Request.Method, step.Request.Path, step.Note, strings.Join(found, "\n    ")))
		}
	}
	return lines
}

// reencoded brings a recorded and a fresh answer to the same Go types.
func reencoded(answer response) any {
	raw, err := json.Marshal(answer)
	if err != nil {
		return err.Error()
	}
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return err.Error()
	}
	return value
}

func difference(path string, recorded, got any, found *[]string) {
	left, leftIsMap := recorded.(map[string]any)
	right, rightIsMap := got.(map[string]any)
	if leftIsMap && rightIsMap {
		for _, key := range keysOf(left, right) {
			difference(path+"."+key, left[key], right[key], found)
		}
		return
	}
	leftList, leftIsList := recorded.([]any)
	rightList, rightIsList := got.([]any)
	if leftIsList && rightIsList && len(leftList) == len(rightList) {
		for i := range leftList {
			difference(fmt.Sprintf("%s[%d]", path, i), leftList[i], rightList[i], found)
		}
		return
	}
	if !reflect.DeepEqual(recorded, got) {
		*found = append(*found, fmt.Sprintf("%s: recorded %s, got %s", path, inJSON(recorded), inJSON(got)))
	}
}

func keysOf(maps ...map[string]any) []string {
	seen := map[string]bool{}
	var keys []string
	for _, one := range maps {
		for key := range one {
			if !seen[key] {
				seen[key] = true
				keys = append(keys, key)
			}
		}
	}
	sort.Strings(keys)
	return keys
}

func inJSON(value any) string {
	if value == nil {
		return "nothing"
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(out.String())
}

// createNamespace waits for one of an earlier run to be gone.
func (s *server) createNamespace(ctx context.Context, name string) error {
	path := "/api/v1/namespaces"
	body := json.RawMessage(fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, name))
	for deadline := time.Now().Add(namespacePatience); ; time.Sleep(200 * time.Millisecond) {
		answer, err := s.send(ctx, request{Method: http.MethodPost, Path: path, Body: body})
		if err != nil {
			return err
		}
		switch {
		case answer.Code == http.StatusCreated:
			return nil
		case answer.Code != http.StatusConflict:
			return fmt.Errorf("namespace %s: %d %s", name, answer.Code, inJSON(answer.Body))
		case time.Now().After(deadline):
			return errors.New("namespace " + name + " of an earlier run does not go away")
		}
		if _, err := s.send(ctx, request{Method: http.MethodDelete, Path: path + "/" + name}); err != nil {
			return err
		}
	}
}
