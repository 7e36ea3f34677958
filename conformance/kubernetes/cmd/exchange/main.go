// Command exchange holds an API server to recorded exchanges: it plays requests from case files and compares, or
// records, the answers.
//
// The cases in facts/ were recorded on a real kube-apiserver. Played against another implementation they say, step by
// step, where it answers otherwise. It knows nothing of what the answers mean; what cannot be the same twice (uids,
// resource versions, times, addresses) is replaced by names before it is compared, see mask.go.
// Invariant: it touches only the namespaces and cluster-scoped objects that a case names.
//
//	exchange -kubeconfig FILE CASE.json...            compare; exit 1 if any answer differs
//	exchange -kubeconfig FILE -record CASE.json...    write the answers into the case files
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "address and credentials of the API; default $KUBECONFIG")
	record := flag.Bool("record", false, "write the answers into the case files instead of comparing")
	flag.Parse()
	if *kubeconfig == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: exchange -kubeconfig FILE [-record] CASE.json...")
		os.Exit(2)
	}
	differing, err := playAll(context.Background(), *kubeconfig, *record, flag.Args())
	if err != nil {
		fmt.Fprintf(os.Stderr, "exchange: %v\n", err)
		os.Exit(1)
	}
	if differing > 0 {
		fmt.Printf("%d answers differ\n", differing)
		os.Exit(1)
	}
}

func playAll(ctx context.Context, kubeconfig string, record bool, files []string) (int, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return 0, err
	}
	config.UserAgent = "exchange" // the manager of whatever is written without a fieldManager
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return 0, err
	}
	server := &server{client: client, address: config.Host}
	differing := 0
	for _, file := range files {
		one, err := readCase(file)
		if err != nil {
			return differing, fmt.Errorf("%s: %w", file, err)
		}
		answers, err := one.play(ctx, server)
		if err != nil {
			return differing, fmt.Errorf("%s: %w", file, err)
		}
		if record {
			if err := one.write(file, answers); err != nil {
				return differing, fmt.Errorf("%s: %w", file, err)
			}
			fmt.Printf("%s: %d answers recorded\n", filepath.Base(file), len(answers))
			continue
		}
		found := one.compare(answers)
		for _, line := range found {
			fmt.Printf("%s: %s\n", filepath.Base(file), line)
		}
		fmt.Printf("%s: %d steps, %d answers differ\n", filepath.Base(file), len(answers), len(found))
		differing += len(found)
	}
	return differing, nil
}
