// Which ports a control plane may take. Knows nothing of who will listen on them.

package main

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

const (
	// Below the usual ephemeral range (32768 and up), so that no outgoing connection takes a port between its
	// choice here and its use by the program it was chosen for; above the well-known ones.
	portFirst, portLast = 20000, 29999
	// tries bounds the search on a machine where nearly everything is taken.
	tries = 1000
)

// freePorts returns n different TCP ports of 127.0.0.1 that nobody listens on now. All are held until the last one is
// found. Another process can still take one before its program starts: control-plane then starts again with others.
func freePorts(n int) ([]int, error) {
	var ports []int
	for i := 0; i < tries && len(ports) < n; i++ {
		port := portFirst + rand.IntN(portLast-portFirst+1)
		listener, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		defer listener.Close()
		ports = append(ports, port)
	}
	if len(ports) < n {
		return nil, errors.New("127.0.0.1 has none left between 20000 and 29999")
	}
	return ports, nil
}
