// Command probe asks once whether a part of the control plane is ready, so that the script needs no other HTTP client.
//
//	probe URL               exit 0 if it answers 200 within two seconds
//	probe -kubeconfig FILE  exit 0 if a Pod could run: every Node is ready and without a taint that keeps Pods away,
//	                        and the namespace default has its service account
//
// Exit 1: not ready, with the reason on standard error. It waits for nothing: the caller owns the patience.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const patience = 2 * time.Second

func main() {
	kubeconfig := flag.String("kubeconfig", "", "ask for Nodes and the default service account with these credentials")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	switch {
	case *kubeconfig != "" && flag.NArg() == 0:
		err = podsCanRun(ctx, *kubeconfig)
	case *kubeconfig == "" && flag.NArg() == 1:
		err = answersOK(ctx, flag.Arg(0))
	default:
		fmt.Fprintln(os.Stderr, "usage: probe URL | probe -kubeconfig FILE")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "not ready: %v\n", err)
		os.Exit(1)
	}
}

// answersOK does not verify the certificate: the controller manager and the scheduler sign their own.
func answersOK(ctx context.Context, url string) error {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	return nil
}

func podsCanRun(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if _, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{}); err != nil {
		return err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if len(nodes.Items) == 0 {
		return errors.New("no node is registered")
	}
	for _, node := range nodes.Items {
		if err := acceptsPods(&node); err != nil {
			return err
		}
	}
	return nil
}

func acceptsPods(node *corev1.Node) error {
	for _, taint := range node.Spec.Taints {
		if taint.Effect == corev1.TaintEffectNoSchedule || taint.Effect == corev1.TaintEffectNoExecute {
			return fmt.Errorf("node %s is tainted %s", node.Name, taint.Key)
		}
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("node %s is not ready", node.Name)
}
