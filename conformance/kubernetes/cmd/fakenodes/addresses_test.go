package main

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestEveryPodHasAnAddressOfItsOwn(t *testing.T) {
	pool := newAddresses()
	pool.keep("old", "10.244.0.1")
	pool.keep("foreign", "192.0.2.7")
	seen := map[string]types.UID{}
	for i := range 1000 {
		pod := types.UID(fmt.Sprint("pod-", i))
		ip, err := pool.take(pod)
		if err != nil {
			t.Fatal(err)
		}
		if owner, taken := seen[ip]; taken || ip == "10.244.0.1" {
			t.Fatalf("%s was given to %s and to %s", ip, owner, pod)
		}
		seen[ip] = pod
		if again, _ := pool.take(pod); again != ip {
			t.Fatalf("%s had %s and now has %s", pod, ip, again)
		}
	}
	if ip, _ := pool.take("old"); ip != "10.244.0.1" {
		t.Errorf("the address of a pod that was there is now %s", ip)
	}
}

func TestAddressesComeBack(t *testing.T) {
	pool := newAddresses()
	for i := range 1<<16 - 2 {
		if _, err := pool.take(types.UID(fmt.Sprint(i))); err != nil {
			t.Fatalf("after %d: %v", i, err)
		}
	}
	if ip, err := pool.take("one too many"); err == nil {
		t.Fatalf("%s was free", ip)
	}
	pool.release("77")
	if _, err := pool.take("one too many"); err != nil {
		t.Error(err)
	}
}
