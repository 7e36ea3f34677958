// Command charts fills in what Helm makes of the generator's charts.
//
// A case is a text file: words about it, then sections, each under a line `-- NAME --`. A section is a file of the chart, or
//
//	-- layer NAME --     a values file for renders
//	-- render NAME --    a JSON object: how to render
//	-- command NAME --   a JSON object: the arguments of a helm command, run beside the folders `chart` and `values` and the archive `chart.tgz`
//	-- want NAME: … --   what Helm gives: "stream" on standard output, the "error", or the text of a template that the stream lacks;
//	                     of a command "stdout", the "error", and "file PATH" for each file below `out`
//
// A file below X.tgz is packed into that archive. A section whose name ends in " | json" holds a JSON string, for texts that cannot stand
// in a line of their own. Recording runs the helm command for the stream and for errors, and the SDK for the text of each template; with
// -check nothing is written, and a difference is an error.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"conformance/helm/internal/sdk"
)

type section struct {
	name string
	text string
}

type render struct {
	Layers     []string `json:"layers"`
	Set        []string `json:"set"`
	SetString  []string `json:"setString"`
	SetJSON    []string `json:"setJSON"`
	SetLiteral []string `json:"setLiteral"`
	Name       string   `json:"name"`
	Namespace  string   `json:"namespace"`
	Kube       string   `json:"kubeVersion"`
	APIs       []string `json:"apiVersions"`
	Upgrade    bool     `json:"isUpgrade"`
	CRDs       bool     `json:"includeCRDs"`
	NoHooks    bool     `json:"noHooks"`
	SkipTests  bool     `json:"skipTests"`
	ShowOnly   []string `json:"showOnly"`
	// Ours is a part of our message where it knowingly differs from Helm's.
	Ours string `json:"ours,omitempty"`
}

// command is a command line as it is typed.
type command struct {
	Args  []string `json:"args"`
	Stdin string   `json:"stdin"`
	// Ours is a part of our message where it knowingly differs from Helm's.
	Ours string `json:"ours,omitempty"`
}

var header = regexp.MustCompile(`(?m)^-- (.+) --\n`)

func main() {
	check := flag.Bool("check", false, "compare instead of writing")
	helm := flag.String("helm", "helm", "the helm command")
	flag.Parse()
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	log.SetFlags(0)
	failed := false
	for _, file := range flag.Args() {
		before, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		after, err := record(string(before), *helm)
		switch {
		case err != nil:
			log.Fatalf("%s: %v", file, err)
		case after == string(before):
		case *check:
			fmt.Printf("%s: differs from what Helm gives\n", file)
			failed = true
		default:
			if err := os.WriteFile(file, []byte(after), 0o644); err != nil {
				log.Fatal(err)
			}
			fmt.Printf("%s: recorded\n", file)
		}
	}
	if failed {
		os.Exit(1)
	}
}

func record(text, helm string) (string, error) {
	about, sections, err := read(text)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "chart")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	layers := map[string]string{}
	files := map[string]string{}
	for _, s := range sections {
		if name, ok := strings.CutPrefix(s.name, "layer "); ok {
			layers[name] = s.text
		} else if !strings.HasPrefix(s.name, "render ") && !strings.HasPrefix(s.name, "command ") && !strings.HasPrefix(s.name, "want ") {
			files[s.name] = s.text
		}
	}
	if err := write(dir, files, layers); err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString(about)
	for _, s := range sections {
		if strings.HasPrefix(s.name, "want ") {
			continue
		}
		put(&out, s)
		if name, ok := strings.CutPrefix(s.name, "command "); ok {
			wants, err := obey(dir, s.text, helm)
			if err != nil {
				return "", fmt.Errorf("%s: %w", s.name, err)
			}
			for _, want := range wants {
				put(&out, section{"want " + name + ": " + want.name, want.text})
			}
			continue
		}
		name, ok := strings.CutPrefix(s.name, "render ")
		if !ok {
			continue
		}
		var r render
		decoder := json.NewDecoder(strings.NewReader(s.text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&r); err != nil {
			return "", fmt.Errorf("%s: %w", s.name, err)
		}
		for _, want := range ask(dir, layers, &r, helm) {
			put(&out, section{"want " + name + ": " + want.name, want.text})
		}
	}
	return out.String(), nil
}

func read(text string) (string, []section, error) {
	var sections []section
	found := header.FindAllStringSubmatchIndex(text, -1)
	if len(found) == 0 {
		return "", nil, fmt.Errorf("no sections")
	}
	for i, at := range found {
		end := len(text)
		if i+1 < len(found) {
			end = found[i+1][0]
		}
		s := section{text[at[2]:at[3]], text[at[1]:end]}
		if name, ok := strings.CutSuffix(s.name, " | json"); ok {
			s.name = name
			if err := json.Unmarshal([]byte(s.text), &s.text); err != nil {
				return "", nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		sections = append(sections, s)
	}
	return text[:found[0][0]], sections, nil
}

func put(out *strings.Builder, s section) {
	plain := s.text == "" || strings.HasSuffix(s.text, "\n")
	if plain && !strings.ContainsAny(s.text, "\r\uFEFF") && !header.MatchString(s.text) {
		fmt.Fprintf(out, "-- %s --\n%s", s.name, s.text)
		return
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s.text); err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(out, "-- %s | json --\n%s", s.name, text.String())
}

// write puts the chart into dir/chart and the layers into dir/values.
func write(dir string, files, layers map[string]string) error {
	archives := map[string]map[string]string{}
	put := func(path, text string) error {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, []byte(text), 0o644)
	}
	for name, text := range files {
		if archive, inner, ok := strings.Cut(name, ".tgz/"); ok {
			if archives[archive] == nil {
				archives[archive] = map[string]string{}
			}
			archives[archive][inner] = text
		} else if err := put(filepath.Join(dir, "chart", name), text); err != nil {
			return err
		}
	}
	for archive, inner := range archives {
		packed, err := pack(inner)
		if err != nil {
			return err
		}
		if err := put(filepath.Join(dir, "chart", archive+".tgz"), packed); err != nil {
			return err
		}
	}
	packed := map[string]string{}
	for name, text := range files {
		packed["packed/"+name] = text
	}
	archive, err := pack(packed)
	if err != nil {
		return err
	}
	if err := put(filepath.Join(dir, "chart.tgz"), archive); err != nil {
		return err
	}
	for name, text := range layers {
		if err := put(filepath.Join(dir, "values", name), text); err != nil {
			return err
		}
	}
	return nil
}

func pack(files map[string]string) (string, error) {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	for _, name := range names {
		head := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}
		if err := archive.WriteHeader(head); err != nil {
			return "", err
		}
		if _, err := archive.Write([]byte(files[name])); err != nil {
			return "", err
		}
	}
	if err := archive.Close(); err != nil {
		return "", err
	}
	err := zip.Close()
	return out.String(), err
}

// ask renders with the helm command and with the SDK.
func ask(dir string, layers map[string]string, r *render, helm string) []section {
	name, namespace := r.Name, r.Namespace
	if name == "" {
		name = "release-name"
	}
	if namespace == "" {
		namespace = "default"
	}
	args := []string{"template", name, filepath.Join(dir, "chart"), "--namespace", namespace}
	request := sdk.Request{
		Dir: filepath.Join(dir, "chart"), Name: name, Namespace: namespace, Kube: r.Kube, APIs: r.APIs, Upgrade: r.Upgrade,
		Set: r.Set, SetString: r.SetString, SetJSON: r.SetJSON, SetLiteral: r.SetLiteral,
	}
	each := func(option string, values []string) {
		for _, value := range values {
			args = append(args, option, value)
		}
	}
	for _, layer := range r.Layers {
		args = append(args, "--values", filepath.Join(dir, "values", layer))
		request.Layers = append(request.Layers, layers[layer])
	}
	each("--set-json", r.SetJSON)
	each("--set", r.Set)
	each("--set-string", r.SetString)
	each("--set-literal", r.SetLiteral)
	each("--api-versions", r.APIs)
	each("--show-only", r.ShowOnly)
	if r.Kube != "" {
		args = append(args, "--kube-version", r.Kube)
	}
	for option, on := range map[string]bool{"--is-upgrade": r.Upgrade, "--include-crds": r.CRDs, "--no-hooks": r.NoHooks, "--skip-tests": r.SkipTests} {
		if on {
			args = append(args, option)
		}
	}
	var stdout, stderr bytes.Buffer
	command := exec.Command(helm, args...)
	command.Stdout, command.Stderr = &stdout, &stderr
	command.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	if err := command.Run(); err != nil {
		_, message, _ := strings.Cut(stderr.String(), "Error: ")
		message, _, _ = strings.Cut(message, "\n\nUse --debug")
		message = strings.ReplaceAll(message, dir+"/", "")
		return []section{{"error", steady(strings.TrimRight(message, "\n")) + "\n"}}
	}
	wants := []section{{"stream", toValid(stdout.String())}}
	answer := sdk.Render(request)
	if answer.Error != "" {
		log.Fatalf("the helm command renders what the SDK does not: %s", answer.Error)
	}
	names := make([]string, 0, len(answer.Files))
	for name, text := range answer.Files {
		// Blank texts say nothing, and the stream says most others.
		if strings.TrimSpace(text) != "" && !strings.Contains(stdout.String(), "# Source: "+name+"\n"+strings.TrimRight(text, "\n")) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		wants = append(wants, section{name, toValid(answer.Files[name])})
	}
	return wants
}

// obey runs a helm command as it is typed.
func obey(dir, text, helm string) ([]section, error) {
	var c command
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return nil, err
	}
	out := filepath.Join(dir, "out")
	if err := os.RemoveAll(out); err != nil {
		return nil, err
	}
	var stdout, stderr bytes.Buffer
	helmed := exec.Command(helm, append([]string{"template"}, c.Args...)...)
	helmed.Dir, helmed.Stdin, helmed.Stdout, helmed.Stderr = dir, strings.NewReader(c.Stdin), &stdout, &stderr
	helmed.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	if err := helmed.Run(); err != nil {
		_, message, _ := strings.Cut(stderr.String(), "Error: ")
		message, _, _ = strings.Cut(message, "\n\nUse --debug")
		message = strings.ReplaceAll(message, dir+"/", "")
		return []section{{"error", steady(strings.TrimRight(message, "\n")) + "\n"}}, nil
	}
	wants := []section{{"stdout", toValid(stdout.String())}}
	err := filepath.Walk(out, func(path string, file os.FileInfo, err error) error {
		if os.IsNotExist(err) || err == nil && file.IsDir() {
			return nil
		}
		content, err := os.ReadFile(path)
		if err == nil {
			wants = append(wants, section{"file " + strings.TrimPrefix(path, dir+"/"), toValid(string(content))})
		}
		return err
	})
	return wants, err
}

// steady sorts what schemas find wrong in a chart, which comes in the random order of Go's maps.
func steady(message string) string {
	var out, found []string
	flush := func() {
		sort.Strings(found)
		out = append(out, found...)
		found = nil
	}
	for _, line := range strings.Split(message, "\n") {
		switch {
		case strings.HasPrefix(line, "- at "):
			found = append(found, line)
		case strings.HasPrefix(line, "  - at ") && len(found) > 0:
			found[len(found)-1] += "\n" + line
		default:
			flush()
			out = append(out, line)
		}
	}
	flush()
	return strings.Join(out, "\n")
}

// toValid replaces bytes that are not UTF-8, as the generator does.
func toValid(s string) string { return string([]rune(s)) }
