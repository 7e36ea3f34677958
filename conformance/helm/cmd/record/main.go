// Command record fills in what Helm makes of the generator's probes.
//
// A probe file is a JSON object: "values" and "files" shared by all its probes, and "probes", each a template and what is expected of
// it. Recording replaces every expectation by what the Helm SDK answers: "want" for the text, "error" for a failure. With -check
// nothing is written, and a difference is an error.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"

	"conformance/helm/internal/sdk"
)

type probeFile struct {
	About  string            `json:"about"`
	Values string            `json:"values,omitempty"`
	Files  map[string]string `json:"files,omitempty"`
	// Nondeterministic says that the probes call functions of chance and of the clock, and that their results are the same nevertheless.
	Nondeterministic bool    `json:"nondeterministic,omitempty"`
	Probes           []probe `json:"probes"`
}

type probe struct {
	// Template is the text of the one template that is looked at.
	Template string `json:"t"`
	// Values replace those of the file.
	Values *string `json:"values,omitempty"`
	// Want is the text it renders to.
	Want *string `json:"want,omitempty"`
	// Error is Helm's message where it fails.
	Error *string `json:"error,omitempty"`
}

const template = "templates/t.yaml"

func main() {
	check := flag.Bool("check", false, "compare instead of writing")
	flag.Parse()
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	failed := false
	for _, path := range flag.Args() {
		changed, err := record(path, *check)
		if err != nil {
			log.Fatalf("%s: %v", path, err)
		}
		if changed > 0 && *check {
			fmt.Printf("%s: %d expectations differ from what Helm answers\n", path, changed)
			failed = true
		} else {
			fmt.Printf("%s: %d changed\n", path, changed)
		}
	}
	if failed {
		os.Exit(1)
	}
}

func record(path string, check bool) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var file probeFile
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return 0, err
	}
	changed := 0
	for i := range file.Probes {
		p := &file.Probes[i]
		before, _ := json.Marshal(p)
		ask(&file, p)
		if after, _ := json.Marshal(p); !bytes.Equal(before, after) {
			changed++
		}
	}
	if check {
		return changed, nil
	}
	return changed, os.WriteFile(path, encode(&file), 0o644)
}

func ask(file *probeFile, p *probe) {
	files := map[string]string{"values.yaml": file.Values, template: p.Template}
	if p.Values != nil {
		files["values.yaml"] = *p.Values
	}
	for name, text := range file.Files {
		files[name] = text
	}
	answer := sdk.Render(sdk.Request{Files: files})
	p.Want, p.Error = nil, nil
	if answer.Error != "" {
		p.Error = &answer.Error
		return
	}
	// JSON cannot carry bytes that are not UTF-8; each becomes U+FFFD, as in what the generator compares.
	text := string([]rune(answer.Files["c/"+template]))
	p.Want = &text
}

// encode writes one probe a line, so that a change of one is a change of one line.
func encode(file *probeFile) []byte {
	var out bytes.Buffer
	plain := func(v any) string {
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(v); err != nil {
			log.Fatal(err)
		}
		return string(bytes.TrimRight(b.Bytes(), "\n"))
	}
	fmt.Fprintf(&out, "{\n\"about\": %s,\n", plain(file.About))
	if file.Nondeterministic {
		out.WriteString("\"nondeterministic\": true,\n")
	}
	if file.Values != "" {
		fmt.Fprintf(&out, "\"values\": %s,\n", plain(file.Values))
	}
	if len(file.Files) > 0 {
		fmt.Fprintf(&out, "\"files\": %s,\n", plain(file.Files))
	}
	out.WriteString("\"probes\": [\n")
	for i, p := range file.Probes {
		comma := ","
		if i == len(file.Probes)-1 {
			comma = ""
		}
		fmt.Fprintf(&out, "%s%s\n", plain(p), comma)
	}
	out.WriteString("]\n}\n")
	return out.Bytes()
}
