// Command shapes writes down what the published Kubernetes APIs look like: kinds, fields, types, list keys, enumerations.
//
// It reads, of one release for every minor version, what the Go module k8s.io/kubernetes ships: the OpenAPI document for
// fields and kinds, the generated Go of the same document for enumerations and defaults, which the former leaves out. How
// the server writes zero values is read off the Go types that this module is built with. Facts only: no description is
// taken over. Invariant: the same releases give the same bytes.
//
//	shapes -o FOLDER v1.35.4 v1.36.3 ...    downloads the modules it needs, writes kinds.txt and types.txt
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

func main() {
	folder := flag.String("o", "", "folder to write kinds.txt and types.txt to")
	flag.Parse()
	if *folder == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: shapes -o FOLDER VERSION...")
		os.Exit(2)
	}
	if err := record(*folder, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "shapes: %v\n", err)
		os.Exit(1)
	}
}

func record(folder string, versions []string) error {
	zeros := zeroRules()
	kinds, types := ranges{}, ranges{}
	for _, version := range versions {
		minor, err := minorOf(version)
		if err != nil {
			return err
		}
		module, err := download(version)
		if err != nil {
			return fmt.Errorf("%s: %w", version, err)
		}
		api, err := readOpenAPI(filepath.Join(module, "api", "openapi-spec", "swagger.json"))
		if err != nil {
			return fmt.Errorf("%s: %w", version, err)
		}
		values, err := readValues(filepath.Join(module, "pkg", "generated", "openapi", "zz_generated.openapi.go"))
		if err != nil {
			return fmt.Errorf("%s: %w", version, err)
		}
		for _, kind := range api.kinds() {
			kinds.add(minor, kind.key(), kind.line())
		}
		for name, line := range api.types(values, zeros) {
			types.add(minor, name, line)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "kinds.txt"), []byte(kindsHead+kinds.text()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "types.txt"), []byte(typesHead+types.text()), 0o644)
}

// minorOf returns 35 for v1.35.4.
func minorOf(version string) (int, error) {
	parts := strings.Split(version, ".")
	if len(parts) != 3 || parts[0] != "v1" {
		return 0, fmt.Errorf("%s is no version like v1.35.4", version)
	}
	return strconv.Atoi(parts[1])
}

// download returns the folder of a release's sources in Go's module cache.
func download(version string) (string, error) {
	command := exec.Command("go", "mod", "download", "-json", "k8s.io/kubernetes@"+version)
	command.Dir = os.TempDir() // outside of any module, whose replacements would apply
	out, err := command.Output()
	var module struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &module); jsonErr != nil {
		return "", errors.Join(err, jsonErr)
	}
	if module.Error != "" {
		return "", errors.New(module.Error)
	}
	return module.Dir, nil
}
