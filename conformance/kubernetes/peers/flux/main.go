// Command flux applies a folder of manifests with Flux's library for server-side apply, as a peer that syncd is measured against.
//
// Flux itself is a set of controllers that are hard to time from outside. What its kustomize-controller does with an API server
// is all in this library, so a program around it shows that part alone: no source, no build, no inventory, no prune, no waiting.
// Whatever the controller sets is set here to the controller's default, with the place that it comes from beside it.
// Invariant: it talks to the server that KUBECONFIG names and to no other, so there is no fallback when that is not set.
//
// Usage: flux FOLDER
//
// Reads every *.yaml below the folder. Exit: 0 applied; 1 failed, with the reason on standard error; 2 wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fluxcd/cli-utils/pkg/flowcontrol"
	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// Defaults of --kube-api-qps and --kube-api-burst: github.com/fluxcd/pkg/runtime v0.117.0, client/client.go, BindFlags.
	qps   = 50
	burst = 300
	// Default of --concurrent-ssa: kustomize-controller, main.go. The library's own is 1.
	concurrency = 4
)

// owner is the field manager and the prefix of the labels: kustomize-controller, reconcile in
// internal/controller/kustomization_controller.go.
var owner = ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: flux FOLDER")
		os.Exit(2)
	}
	if err := apply(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "flux: %v\n", err)
		os.Exit(1)
	}
}

func apply(ctx context.Context, folder string) error {
	objects, err := read(folder)
	if err != nil {
		return err
	}
	manager, err := connect(ctx)
	if err != nil {
		return err
	}
	// The controller does both to what it has built, before it applies: every object bears the name of its Kustomization.
	manager.SetOwnerLabels(objects, "fleet", "syncd")
	if err := normalize.UnstructuredList(objects); err != nil {
		return err
	}
	_, err = manager.ApplyAllStaged(ctx, objects, ssa.DefaultApplyOptions())
	return err
}

// read returns the objects of all files, by path. None at all is an error: nothing is quickly applied.
func read(folder string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		found, err := utils.ReadObjects(file)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		objects = append(objects, found...)
		return nil
	})
	if err == nil && len(objects) == 0 {
		err = fmt.Errorf("%s has no objects", folder)
	}
	return objects, err
}

// connect returns the library's manager of the server that KUBECONFIG names.
func connect(ctx context.Context) (*ssa.ResourceManager, error) {
	path := os.Getenv("KUBECONFIG")
	if path == "" {
		return nil, errors.New("KUBECONFIG is not set")
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, err
	}
	limit(ctx, config)
	// The default of controller-runtime is a logger, which nobody sets here.
	config.WarningHandler = rest.NewWarningWriter(os.Stderr, rest.WarningWriterOptions{Deduplicate: true})
	// Without a cache, as the controller's reads of these objects are. Its mapper discovers each group once, when that is first met.
	cluster, err := client.New(config, client.Options{})
	if err != nil {
		return nil, err
	}
	// Asked only where there are definitions, which have to be established before what is defined by them.
	poller := polling.NewStatusPoller(cluster, cluster.RESTMapper(), polling.Options{})
	manager := ssa.NewResourceManager(cluster, poller, owner)
	manager.SetConcurrency(concurrency)
	return manager, nil
}

// limit sets how many requests the client lets through. Where the server shares itself out (API Priority and Fairness, on by
// default), Flux's clients do not limit themselves at all: github.com/fluxcd/pkg/runtime v0.117.0, client/client.go, GetConfigOrDie.
func limit(ctx context.Context, config *rest.Config) {
	config.QPS, config.Burst = qps, burst
	if fair, err := flowcontrol.IsEnabled(ctx, config); err == nil && fair {
		config.QPS, config.Burst = -1, -1
	}
}
