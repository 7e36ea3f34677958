// The Nodes: registered, ready, and kept alive by their leases. Knows nothing of Pods.

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

const (
	leaseNamespace = "kube-node-lease"
	// A kubelet renews every 10 s a lease of 40 s; the controller manager doubts a Node after 50 s.
	leaseRenewEvery      = 10 * time.Second
	leaseDurationSeconds = 40
	registerRetryEvery   = 500 * time.Millisecond
)

func nodeNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("fake-%d", i)
	}
	return names
}

// registerUntilDone registers every Node, and tries again while the API is not there yet.
func registerUntilDone(ctx context.Context, client kubernetes.Interface, names []string) error {
	for i, name := range names {
		for {
			err := register(ctx, client, name, i)
			if err == nil {
				break
			}
			klog.ErrorS(err, "node not registered yet", "node", name)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(registerRetryEvery):
			}
		}
	}
	return nil
}

// register creates the Node if it is not there, reports it ready, and takes its lease.
func register(ctx context.Context, client kubernetes.Interface, name string, ordinal int) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: name,
		Labels: map[string]string{
			corev1.LabelHostname:   name,
			corev1.LabelOSStable:   "linux",
			corev1.LabelArchStable: "amd64",
		},
	}}
	_, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{FieldManager: fieldManager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	if err := renewLease(ctx, client, name); err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"status": nodeStatus(name, ordinal, metav1.Now())})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}, "status")
	return err
}

// nodeStatus is a machine without pressure and with room for everything a test may want.
func nodeStatus(name string, ordinal int, now metav1.Time) corev1.NodeStatus {
	room := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("1000"),
		corev1.ResourceMemory:           resource.MustParse("4Ti"),
		corev1.ResourceEphemeralStorage: resource.MustParse("4Ti"),
		corev1.ResourcePods:             resource.MustParse("5000"),
	}
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: status, Reason: reason, LastHeartbeatTime: now, LastTransitionTime: now}
	}
	return corev1.NodeStatus{
		Capacity:    room,
		Allocatable: room,
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: nodeIP(ordinal)},
			{Type: corev1.NodeHostName, Address: name},
		},
		Conditions: []corev1.NodeCondition{
			condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory"),
			condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure"),
			condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID"),
			condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady"),
		},
		NodeInfo: corev1.NodeSystemInfo{
			OperatingSystem: "linux", Architecture: "amd64", KubeletVersion: "fake", ContainerRuntimeVersion: "fake://0",
		},
	}
}

// nodeIP is an address that nothing routes to; Pods and Services live in other ranges.
func nodeIP(ordinal int) string {
	return fmt.Sprintf("10.1.%d.%d", ordinal/250, ordinal%250+1)
}

// renewLeases keeps the Nodes alive in the eyes of the controller manager until ctx ends. A failed renewal is tried
// again at the next turn, as a kubelet cut off from the API would.
func renewLeases(ctx context.Context, client kubernetes.Interface, names []string) {
	ticker := time.NewTicker(leaseRenewEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, name := range names {
			if err := renewLease(ctx, client, name); err != nil {
				klog.ErrorS(err, "lease not renewed", "node", name)
			}
		}
	}
}

func renewLease(ctx context.Context, client kubernetes.Interface, name string) error {
	leases := client.CoordinationV1().Leases(leaseNamespace)
	now := metav1.NowMicro()
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"renewTime": now}})
	if err != nil {
		return err
	}
	_, err = leases.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	if !apierrors.IsNotFound(err) {
		return err
	}
	seconds := int32(leaseDurationSeconds)
	_, err = leases.Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}, metav1.CreateOptions{FieldManager: fieldManager})
	return err
}
