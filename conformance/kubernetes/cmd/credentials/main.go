// Command credentials prepares the folder that one control plane on loopback lives in.
//
// It answers "who may talk to this server, and where": certificate authorities, a serving certificate for 127.0.0.1,
// the key that signs service account tokens, one bearer token and one kubeconfig per identity, and a set of free
// ports. It starts nothing and knows nothing of the programs' flags; the script control-plane does.
// Invariant: everything it writes is for 127.0.0.1 and is worthless once the folder is gone.
//
// Usage: credentials -dir DIR
//
// Ports go to standard output as shell assignments (ETCD_PORT=...), one a line.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// identity is one caller of the API: a line of the token file and a kubeconfig of its own.
type identity struct {
	kubeconfig string // file name below the folder
	user       string
	groups     []string
}

// identities are listed as the files a reader of the folder meets.
//
// The controller manager and the scheduler get their real users, so that the bootstrap RBAC rules are what lets them
// work. syncd's is the user name of a service account, without the account: RBAC knows no difference, and a test may
// create the account or not.
var identities = []identity{
	{"kubeconfig", "admin", []string{"system:masters"}},
	{"kubeconfig-syncd", "system:serviceaccount:syncd:syncd", []string{"system:serviceaccounts", "system:serviceaccounts:syncd"}},
	{"kubeconfig-controller-manager", "system:kube-controller-manager", nil},
	{"kubeconfig-scheduler", "system:kube-scheduler", nil},
	{"kubeconfig-fakenodes", "fakenodes", []string{"system:masters"}},
}

// portNames are the listeners of a control plane, in the order they are printed.
var portNames = []string{"ETCD_PORT", "ETCD_PEER_PORT", "APISERVER_PORT", "CONTROLLER_MANAGER_PORT", "SCHEDULER_PORT", "FAKENODES_PORT"}

func main() {
	dir := flag.String("dir", "", "folder to fill; created if it is not there")
	flag.Parse()
	if *dir == "" || flag.NArg() != 0 {
		fmt.Fprintln(os.Stderr, "usage: credentials -dir DIR")
		os.Exit(2)
	}
	if err := prepare(*dir); err != nil {
		fmt.Fprintf(os.Stderr, "credentials: %v\n", err)
		os.Exit(1)
	}
}

func prepare(dir string) error {
	pki := filepath.Join(dir, "pki")
	if err := os.MkdirAll(pki, 0o700); err != nil {
		return err
	}
	authority, err := writeCertificates(pki)
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	ports, err := freePorts(len(portNames))
	if err != nil {
		return fmt.Errorf("free ports: %w", err)
	}
	var lines strings.Builder
	server := ""
	for i, name := range portNames {
		fmt.Fprintf(&lines, "%s=%d\n", name, ports[i])
		if name == "APISERVER_PORT" {
			server = fmt.Sprintf("https://127.0.0.1:%d", ports[i])
		}
	}
	if err := writeIdentities(dir, server, authority); err != nil {
		return fmt.Errorf("identities: %w", err)
	}
	_, err = os.Stdout.WriteString(lines.String())
	return err
}

// writeIdentities writes the static token file that kube-apiserver reads, and a kubeconfig for each identity.
func writeIdentities(dir, server string, authority []byte) error {
	var tokens strings.Builder
	for _, id := range identities {
		token, err := randomToken()
		if err != nil {
			return err
		}
		fmt.Fprintf(&tokens, "%s,%s,%s,%q\n", token, id.user, id.user, strings.Join(id.groups, ","))
		if err := writeKubeconfig(filepath.Join(dir, id.kubeconfig), server, id.user, token, authority); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "pki", "tokens.csv"), []byte(tokens.String()), 0o600)
}

func writeKubeconfig(path, server, user, token string, authority []byte) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["loopback"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: authority}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["loopback"] = &clientcmdapi.Context{Cluster: "loopback", AuthInfo: user}
	config.CurrentContext = "loopback"
	return clientcmd.WriteToFile(*config, path)
}

func randomToken() (string, error) {
	raw := make([]byte, 20)
	if _, err := rand.Read(raw); err != nil {
		return "", err
	}
	return hex.EncodeToString(raw), nil
}
