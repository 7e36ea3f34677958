// Package sdk renders charts with the Helm SDK as `helm template` does, but for reading the disk and parsing flags, so that a probe can be
// a few lines of data. It is the truth that the generator's recorded expectations come from.
package sdk

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"sort"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	"helm.sh/helm/v4/pkg/strvals"
)

// Request is one render.
type Request struct {
	// Dir is the folder of a chart on disk; Files is not looked at then.
	Dir string `json:"dir"`
	// Files of the chart by path. Without a Chart.yaml a plain one is added.
	Files map[string]string `json:"files"`
	// Layers are values files, low to high.
	Layers []string `json:"layers"`
	// Set, SetString, SetJSON and SetLiteral are arguments of the flags of those names.
	Set        []string `json:"set"`
	SetString  []string `json:"setString"`
	SetJSON    []string `json:"setJSON"`
	SetLiteral []string `json:"setLiteral"`
	Name       string   `json:"name"`
	Namespace  string   `json:"namespace"`
	Kube       string   `json:"kubeVersion"`
	APIs       []string `json:"apiVersions"`
	Upgrade    bool     `json:"isUpgrade"`
	// Stream asks for the output of `helm template` too.
	Stream bool `json:"stream"`
	CRDs   bool `json:"includeCRDs"`
	NoHook bool `json:"noHooks"`
}

// Answer is what came of it: texts by template, or the error.
type Answer struct {
	Files  map[string]string `json:"files,omitempty"`
	Stream string            `json:"stream,omitempty"`
	Error  string            `json:"error,omitempty"`
}

// Serve answers requests, one JSON object a line each way, until there are no more.
func Serve(from io.Reader, to io.Writer) {
	in := bufio.NewReaderSize(from, 1<<20)
	out := bufio.NewWriter(to)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var request Request
			answer := Answer{}
			if err := json.Unmarshal(line, &request); err != nil {
				answer.Error = "bad request: " + err.Error()
			} else {
				answer = Render(request)
			}
			data, err := json.Marshal(answer)
			if err != nil {
				panic(err)
			}
			out.Write(data)
			out.WriteByte('\n')
			out.Flush()
		}
		if err != nil {
			return
		}
	}
}

// Render renders one request; a panic of the engine is an error, too.
func Render(r Request) (a Answer) {
	defer func() {
		if p := recover(); p != nil {
			a = Answer{Error: fmt.Sprintf("panic: %v", p)}
		}
	}()
	prepared, err := Prepare(r)
	if err != nil {
		return Answer{Error: err.Error()}
	}
	files, err := prepared.Render()
	if err != nil {
		return Answer{Error: err.Error()}
	}
	a.Files = files
	if r.Stream {
		a.Stream, err = stream(prepared.chart, files, r)
		if err != nil {
			return Answer{Error: err.Error()}
		}
	}
	return a
}

// Prepared is a chart that is loaded, and the values of one release: all that need not be done again to render it again.
type Prepared struct {
	chart   *chart.Chart
	values  map[string]any
	options common.ReleaseOptions
	caps    common.Capabilities
}

// Prepare loads the chart, reads the values and settles which subcharts take part.
func Prepare(r Request) (*Prepared, error) {
	unsettled, err := Load(r)
	if err != nil {
		return nil, err
	}
	return unsettled.Settle()
}

// Unsettled is a chart that is loaded, and the parsed values of one release, nothing done with them yet.
type Unsettled struct {
	chart   *chart.Chart
	request Request
	layers  []map[string]any
	options common.ReleaseOptions
	caps    common.Capabilities
}

// Load loads the chart and parses the values files.
func Load(r Request) (*Unsettled, error) {
	layers := make([]map[string]any, 0, len(r.Layers))
	for _, layer := range r.Layers {
		values, err := loader.LoadValues(strings.NewReader(layer))
		if err != nil {
			return nil, err
		}
		layers = append(layers, values)
	}
	var c *chart.Chart
	var err error
	if r.Dir != "" {
		c, err = loader.LoadDir(r.Dir)
	} else {
		c, err = load(r.Files)
	}
	if err != nil {
		return nil, err
	}
	caps := *common.DefaultCapabilities
	if r.Kube != "" {
		v, err := common.ParseKubeVersion(r.Kube)
		if err != nil {
			return nil, err
		}
		caps.KubeVersion = *v
	}
	caps.APIVersions = append(append(common.VersionSet{}, caps.APIVersions...), r.APIs...)
	name, namespace := r.Name, r.Namespace
	if name == "" {
		name = "release-name"
	}
	if namespace == "" {
		namespace = "default"
	}
	options := common.ReleaseOptions{Name: name, Namespace: namespace, Revision: 1, IsInstall: !r.Upgrade, IsUpgrade: r.Upgrade}
	return &Unsettled{c, r, layers, options, caps}, nil
}

// Copy returns a copy that can be settled: Helm settles the subcharts of a chart in the chart itself, and only once.
// What settling leaves alone - templates, files, values - is shared.
func (u *Unsettled) Copy() *Unsettled {
	copied := *u
	copied.chart = copyChart(u.chart)
	return &copied
}

func copyChart(c *chart.Chart) *chart.Chart {
	copied := *c
	metadata := *c.Metadata
	if metadata.Dependencies != nil {
		metadata.Dependencies = make([]*chart.Dependency, len(c.Metadata.Dependencies))
		for i, dependency := range c.Metadata.Dependencies {
			if dependency != nil {
				d := *dependency
				metadata.Dependencies[i] = &d
			}
		}
	}
	copied.Metadata = &metadata
	subcharts := make([]*chart.Chart, 0, len(c.Dependencies()))
	for _, subchart := range c.Dependencies() {
		subcharts = append(subcharts, copyChart(subchart))
	}
	copied.SetDependencies(subcharts...)
	return &copied
}

// Settle merges the values and settles which subcharts take part, as `helm template` does for every release.
func (u *Unsettled) Settle() (*Prepared, error) {
	values, err := userValues(u.request, u.layers)
	if err != nil {
		return nil, err
	}
	if err := chartutil.ProcessDependencies(u.chart, values); err != nil {
		return nil, err
	}
	return &Prepared{u.chart, values, u.options, u.caps}, nil
}

// Render renders the release; it can be called any number of times.
func (p *Prepared) Render() (map[string]string, error) {
	top, err := util.ToRenderValues(p.chart, p.values, p.options, &p.caps)
	if err != nil {
		return nil, err
	}
	if k := p.chart.Metadata.KubeVersion; k != "" && !chartutil.IsCompatibleRange(k, p.caps.KubeVersion.String()) {
		return nil, fmt.Errorf("chart requires kubeVersion: %s which is incompatible with Kubernetes %s", k, p.caps.KubeVersion.Version)
	}
	return new(engine.Engine).Render(p.chart, top)
}

func load(files map[string]string) (*chart.Chart, error) {
	buffered := []*archive.BufferedFile{}
	if _, ok := files["Chart.yaml"]; !ok {
		buffered = append(buffered, &archive.BufferedFile{Name: "Chart.yaml", Data: []byte("apiVersion: v2\nname: c\nversion: 0.1.0\n")})
	}
	paths := make([]string, 0, len(files))
	for p := range files {
		paths = append(paths, p)
	}
	sort.Slice(paths, func(i, j int) bool {
		a, b := strings.Split(paths[i], "/"), strings.Split(paths[j], "/")
		for k := 0; k < len(a) && k < len(b); k++ {
			if a[k] != b[k] {
				return a[k] < b[k]
			}
		}
		return len(a) < len(b)
	})
	for _, p := range paths {
		buffered = append(buffered, &archive.BufferedFile{Name: p, Data: []byte(files[p])})
	}
	return loader.LoadFiles(buffered)
}

func userValues(r Request, layers []map[string]any) (map[string]any, error) {
	values := map[string]any{}
	for _, layer := range layers {
		values = loader.MergeMaps(values, layer)
	}
	for _, s := range r.SetJSON {
		trimmed := strings.TrimSpace(s)
		if strings.HasPrefix(trimmed, "{") {
			var object map[string]any
			if err := json.Unmarshal([]byte(trimmed), &object); err != nil {
				return nil, fmt.Errorf("failed parsing --set-json data JSON: %s", s)
			}
			values = loader.MergeMaps(values, object)
		} else if err := strvals.ParseJSON(s, values); err != nil {
			return nil, fmt.Errorf("failed parsing --set-json data %s", s)
		}
	}
	for _, s := range r.Set {
		if err := strvals.ParseInto(s, values); err != nil {
			return nil, fmt.Errorf("failed parsing --set data: %w", err)
		}
	}
	for _, s := range r.SetString {
		if err := strvals.ParseIntoString(s, values); err != nil {
			return nil, fmt.Errorf("failed parsing --set-string data: %w", err)
		}
	}
	for _, s := range r.SetLiteral {
		if err := strvals.ParseLiteralInto(s, values); err != nil {
			return nil, fmt.Errorf("failed parsing --set-literal data: %w", err)
		}
	}
	return values, nil
}

// stream puts together what `helm template` prints, as pkg/action and pkg/cmd do between them.
func stream(c *chart.Chart, files map[string]string, r Request) (string, error) {
	manifests := map[string]string{}
	for name, text := range files {
		if !strings.HasSuffix(name, "NOTES.txt") {
			manifests[name] = text
		}
	}
	hooks, sorted, err := releaseutil.SortManifests(manifests, nil, releaseutil.InstallOrder)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if r.CRDs {
		for _, crd := range c.CRDObjects() {
			fmt.Fprintf(&b, "---\n# Source: %s\n%s\n", path.Clean(crd.Filename), string(crd.File.Data))
		}
	}
	for _, m := range sorted {
		fmt.Fprintf(&b, "---\n# Source: %s\n%s\n", m.Name, m.Content)
	}
	text := strings.TrimSpace(b.String()) + "\n"
	if !r.NoHook {
		for _, h := range hooks {
			text += fmt.Sprintf("---\n# Source: %s\n%s\n", h.Path, h.Manifest)
		}
	}
	return text, nil
}
