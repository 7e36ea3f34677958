// Addresses of Pods: no two living Pods of these Nodes have the same one.

package main

import (
	"errors"
	"net/netip"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// podRange holds the addresses of Pods. Nothing routes to them.
var podRange = netip.MustParsePrefix("10.244.0.0/16")

// addresses gives every Pod an address of its own for as long as it lives. Safe for concurrent use.
type addresses struct {
	mutex sync.Mutex
	next  netip.Addr
	byPod map[types.UID]netip.Addr
	taken map[netip.Addr]types.UID
}

func newAddresses() *addresses {
	return &addresses{next: podRange.Addr().Next(), byPod: map[types.UID]netip.Addr{}, taken: map[netip.Addr]types.UID{}}
}

// keep notes an address that a Pod has already, as after a restart. An empty or foreign one is ignored.
func (a *addresses) keep(pod types.UID, ip string) {
	address, err := netip.ParseAddr(ip)
	if err != nil || !podRange.Contains(address) {
		return
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if _, known := a.byPod[pod]; known {
		return
	}
	a.byPod[pod] = address
	a.taken[address] = pod
}

// take returns the Pod's address, a new one if it has none.
func (a *addresses) take(pod types.UID) (string, error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if address, ok := a.byPod[pod]; ok {
		return address.String(), nil
	}
	if len(a.taken) >= 1<<16-2 {
		return "", errors.New("no address is left for a pod")
	}
	for {
		address := a.next
		a.next = a.next.Next()
		if !podRange.Contains(a.next) {
			a.next = podRange.Addr().Next()
		}
		if _, used := a.taken[address]; !used {
			a.byPod[pod], a.taken[address] = address, pod
			return address.String(), nil
		}
	}
}

// release frees the address of a Pod that is gone.
func (a *addresses) release(pod types.UID) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if address, ok := a.byPod[pod]; ok {
		delete(a.byPod, pod)
		delete(a.taken, address)
	}
}
