package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/csv"
	"net"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

func TestTheServingCertificateIsTrustedByEveryKubeconfig(t *testing.T) {
	dir := t.TempDir()
	if err := prepare(dir); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "pki", "server.crt"), filepath.Join(dir, "pki", "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range identities {
		config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, id.kubeconfig))
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(config.CAData) {
			t.Fatalf("%s has no certificate authority", id.kubeconfig)
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "127.0.0.1"}); err != nil {
			t.Errorf("%s: %v", id.kubeconfig, err)
		}
	}
}

func TestEveryKubeconfigHasTheTokenOfItsUser(t *testing.T) {
	dir := t.TempDir()
	if err := prepare(dir); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(filepath.Join(dir, "pki", "tokens.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll() // as kube-apiserver reads it: token, user, uid, groups
	if err != nil {
		t.Fatal(err)
	}
	users := map[string]string{}
	for _, row := range rows {
		users[row[0]] = row[1]
	}
	if len(users) != len(identities) {
		t.Fatalf("%d different tokens for %d identities", len(users), len(identities))
	}
	for _, id := range identities {
		config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, id.kubeconfig))
		if err != nil {
			t.Fatal(err)
		}
		if user := users[config.BearerToken]; user != id.user {
			t.Errorf("%s: the token is of %q, not of %q", id.kubeconfig, user, id.user)
		}
	}
}

func TestPortsAreFreeAndDifferent(t *testing.T) {
	ports, err := freePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range ports {
		if seen[port] || port < portFirst || port > portLast {
			t.Errorf("port %d in %v", port, ports)
		}
		seen[port] = true
		listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			t.Errorf("port %d cannot be used: %v", port, err)
			continue
		}
		listener.Close()
	}
}
