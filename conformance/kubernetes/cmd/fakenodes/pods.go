// The loop between the API and status.go: watches Pods of our Nodes, writes their status, ends what is deleted. Decides
// nothing about a status itself. Writes name the uid of the Pod that was looked at, so no other one is ever touched.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// keeper writes the status of the Pods of our Nodes.
type keeper struct {
	client kubernetes.Interface
	pods   corelisters.PodLister
	queue  workqueue.TypedRateLimitingInterface[cache.ObjectName]
	nodes  []string
	ips    *addresses
	events record.EventRecorder
}

// servePods works until ctx ends; ready is called once, as soon as every Pod that is there now is known.
func servePods(ctx context.Context, client kubernetes.Interface, nodes []string, workers int, ready func()) error {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(options *metav1.ListOptions) {
		options.FieldSelector = fields.OneTermNotEqualSelector("spec.nodeName", "").String()
	}))
	informer := factory.Core().V1().Pods()

	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	defer broadcaster.Shutdown()

	k := &keeper{
		client: client,
		pods:   informer.Lister(),
		queue:  workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName]()),
		nodes:  nodes,
		ips:    newAddresses(),
		events: broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: fieldManager}),
	}
	registration, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { k.enqueue(object) },
		UpdateFunc: func(_, object any) { k.enqueue(object) },
		DeleteFunc: func(object any) { k.forget(object) },
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return errors.New("pods could not be listed")
	}
	for range workers {
		go k.work(ctx)
	}
	ready()
	<-ctx.Done()
	k.queue.ShutDown()
	return ctx.Err()
}

func (k *keeper) enqueue(object any) {
	pod, ok := object.(*corev1.Pod)
	if !ok || !slices.Contains(k.nodes, pod.Spec.NodeName) {
		return
	}
	k.ips.keep(pod.UID, pod.Status.PodIP)
	k.queue.Add(cache.MetaObjectToName(pod))
}

func (k *keeper) forget(object any) {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	if pod, ok := object.(*corev1.Pod); ok {
		k.ips.release(pod.UID)
	}
}

func (k *keeper) work(ctx context.Context) {
	for {
		name, shutdown := k.queue.Get()
		if shutdown {
			return
		}
		again, err := k.keep(ctx, name)
		switch {
		case err != nil:
			klog.ErrorS(err, "pod status not written", "pod", name)
			k.queue.AddRateLimited(name)
		case again > 0:
			k.queue.Forget(name)
			k.queue.AddAfter(name, again)
		default:
			k.queue.Forget(name)
		}
		k.queue.Done(name)
	}
}

// keep brings the status of one Pod up to date, or ends the Pod. It returns when to look again by itself.
func (k *keeper) keep(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	pod, err := k.pods.Pods(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if pod.DeletionTimestamp != nil {
		return 0, k.end(ctx, pod)
	}
	podIP, err := k.ips.take(pod.UID)
	if err != nil {
		return 0, err
	}
	hostIP := nodeIP(slices.Index(k.nodes, pod.Spec.NodeName))
	if pod.Spec.HostNetwork {
		podIP = hostIP
	}
	status, again := nextStatus(pod, hostIP, podIP, metav1.Now().Rfc3339Copy())
	return again, k.write(ctx, pod, status)
}

// write sends what changed, as a kubelet does: a strategic merge patch that names the uid, so that a Pod of the same
// name that came after is not touched. A Pod that is gone needs no status.
func (k *keeper) write(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus) error {
	before, err := json.Marshal(corev1.Pod{Status: pod.Status})
	if err != nil {
		return err
	}
	after, err := json.Marshal(corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: pod.UID}, Status: status})
	if err != nil {
		return err
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Pod{})
	if err != nil {
		return err
	}
	if string(patch) == fmt.Sprintf(`{"metadata":{"uid":%q}}`, pod.UID) {
		return nil
	}
	_, err = k.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}, "status")
	switch {
	case err == nil:
		k.tell(pod, status)
		return nil
	case apierrors.IsNotFound(err):
		return nil
	case apierrors.IsInvalid(err) || apierrors.IsConflict(err):
		// Another Pod of that name by now; the watch will tell of it. Trying the same again cannot help.
		klog.ErrorS(err, "pod status refused", "pod", klog.KObj(pod))
		return nil
	default:
		return err
	}
}

// tell records the warnings that a kubelet gives when a container cannot start or keeps ending.
func (k *keeper) tell(pod *corev1.Pod, status corev1.PodStatus) {
	for _, container := range status.ContainerStatuses {
		if container.State.Waiting == nil {
			continue
		}
		if previous := previousOf(pod.Status.ContainerStatuses, container.Name); previous != nil && previous.State.Waiting != nil && *previous.State.Waiting == *container.State.Waiting {
			continue
		}
		switch container.State.Waiting.Reason {
		case "CrashLoopBackOff":
			k.events.Eventf(pod, corev1.EventTypeWarning, "BackOff", "Back-off restarting failed container %s in pod %s_%s(%s)", container.Name, pod.Name, pod.Namespace, pod.UID)
		default:
			k.events.Eventf(pod, corev1.EventTypeWarning, "Failed", "Error: %s: %s", container.State.Waiting.Reason, container.State.Waiting.Message)
		}
	}
}

// end does what a kubelet does when a Pod is deleted: report its containers ended, then remove it from the API. A
// finalizer of somebody else may keep the object; then there is nothing more to do here.
func (k *keeper) end(ctx context.Context, pod *corev1.Pod) error {
	if pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0 {
		return nil
	}
	if len(pod.Finalizers) > 0 && !terminal(pod.Status.Phase) {
		if err := k.write(ctx, pod, endedStatus(pod, metav1.Now().Rfc3339Copy())); err != nil {
			return err
		}
	}
	options := metav1.NewDeleteOptions(0)
	options.Preconditions = metav1.NewUIDPreconditions(string(pod.UID))
	err := k.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, *options)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
