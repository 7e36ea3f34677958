// Command fakenodes stands in for the kubelets of a cluster that has no machines.
//
// It registers Nodes, keeps their leases, and writes for every Pod that the scheduler binds to one of them the status
// a kubelet would write: running and ready at once, or failing in the way the Pod's annotations ask for (see
// behaviour.go). It runs no container, so there are no logs, no exec and no metrics.
// Invariant: it writes only to its own Nodes and Leases and to Pods bound to its own Nodes, and everything it knows is
// in the API: stopped and started again, it goes on where it was.
//
// What a kubelet writes is taken from observation of v1.35 and from k8s.io/kubernetes/pkg/kubelet.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// fieldManager is who the API sees: the name under which a kubelet's fields appear in managedFields.
const fieldManager = "kubelet"

type settings struct {
	kubeconfig string
	nodes      int
	workers    int
	healthPort int
}

func main() {
	var s settings
	flag.StringVar(&s.kubeconfig, "kubeconfig", "", "file with the address and credentials of the API")
	flag.IntVar(&s.nodes, "nodes", 3, "number of Nodes to register, named fake-0, fake-1, ...")
	flag.IntVar(&s.workers, "workers", 8, "Pods whose status is written at the same time")
	flag.IntVar(&s.healthPort, "health-port", 0, "port of 127.0.0.1 for /healthz: 200 once Nodes are registered and Pods are served")
	flag.Parse()
	if s.kubeconfig == "" || flag.NArg() != 0 || s.nodes < 1 || s.workers < 1 {
		fmt.Fprintln(os.Stderr, "usage: fakenodes -kubeconfig FILE [-nodes N] [-workers N] [-health-port PORT]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(os.Stderr, "fakenodes: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1 // no limit of ours: the API server's own fairness is the one under test
	rest.AddUserAgent(config, "fakenodes")
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}

	var healthy atomic.Bool
	if err := serveHealth(ctx, s.healthPort, &healthy); err != nil {
		return err
	}
	nodes := nodeNames(s.nodes)
	if err := registerUntilDone(ctx, client, nodes); err != nil {
		return err
	}
	go renewLeases(ctx, client, nodes)
	return servePods(ctx, client, nodes, s.workers, func() {
		klog.InfoS("nodes registered, pods served", "nodes", len(nodes))
		healthy.Store(true)
	})
}

// serveHealth answers /healthz until ctx ends. Port 0 means nobody asks.
func serveHealth(ctx context.Context, port int, healthy *atomic.Bool) error {
	if port == 0 {
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !healthy.Load() {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok"))
	})
	listener, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	return nil
}
