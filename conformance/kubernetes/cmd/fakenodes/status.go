// Which status a kubelet would write for a Pod: a pure function of the Pod and the time. Knows no client and no clock.

package main

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// A kubelet restarts after 10 s, 20 s, ... 5 min; here time is short.
	restartFirstAfter = time.Second
	restartLastAfter  = time.Minute

	containerIDPrefix = "fake://"
)

// nextStatus is what a kubelet would write for the Pod at the time now, given what it wrote before (pod.Status).
//
// The second result is when to ask again although nothing changed: zero for never.
// Pure, and stable: as long as neither the Pod nor the due time changes, it returns pod.Status itself.
func nextStatus(pod *corev1.Pod, hostIP, podIP string, now metav1.Time) (corev1.PodStatus, time.Duration) {
	status := *pod.Status.DeepCopy()
	if terminal(status.Phase) {
		return status, 0
	}
	if status.StartTime == nil {
		status.StartTime = &now
	}
	status.HostIP, status.HostIPs = hostIP, []corev1.HostIP{{IP: hostIP}}
	status.PodIP, status.PodIPs = podIP, []corev1.PodIP{{IP: podIP}}
	status.ObservedGeneration = pod.Generation

	asked := ordersOf(pod)
	again := time.Duration(0)
	status.InitContainerStatuses = initStatuses(pod, status.InitContainerStatuses, now)
	statuses := make([]corev1.ContainerStatus, 0, len(pod.Spec.Containers))
	for _, container := range pod.Spec.Containers {
		next, due := containerStatus(pod, &container, previousOf(pod.Status.ContainerStatuses, container.Name), asked, status.StartTime.Time, now)
		statuses = append(statuses, next)
		again = sooner(again, due)
	}
	status.ContainerStatuses = statuses
	status.Phase = phaseOf(pod, statuses)
	status.Conditions = conditionsOf(pod, &status, now)
	return status, again
}

func terminal(phase corev1.PodPhase) bool {
	return phase == corev1.PodSucceeded || phase == corev1.PodFailed
}

func sooner(a, b time.Duration) time.Duration {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}

func previousOf(statuses []corev1.ContainerStatus, name string) *corev1.ContainerStatus {
	for i := range statuses {
		if statuses[i].Name == name {
			return &statuses[i]
		}
	}
	return nil
}

// containerStatus is the state of one container that runs beside others, and when it changes by itself (zero: never).
func containerStatus(pod *corev1.Pod, container *corev1.Container, previous *corev1.ContainerStatus, asked orders, started time.Time, now metav1.Time) (corev1.ContainerStatus, time.Duration) {
	status := newStatus(container)
	switch asked.behaviour {
	case behaviourRun:
		due := started.Add(asked.readyAfter).Sub(now.Time)
		return running(withRun(status, pod), previous, due <= 0, now), max(due, 0)
	case behaviourNotReady:
		return running(withRun(status, pod), previous, false, now), 0
	case behaviourComplete:
		return ended(withRun(status, pod), previous, 0, "Completed", now), 0
	case behaviourCrash:
		return crashed(status, previous, pod, 1, "Error", now)
	case behaviourOutOfMemory:
		return crashed(status, previous, pod, 137, "OOMKilled", now)
	case behaviourImagePullError:
		return waiting(status, "ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q: ErrImagePull: no such image", container.Image)), 0
	case behaviourConfigError:
		return waiting(status, "CreateContainerConfigError", `configmap "missing" not found`), 0
	default:
		return waiting(status, "InvalidBehaviour", asked.problem), 0
	}
}

func newStatus(container *corev1.Container) corev1.ContainerStatus {
	no := false
	return corev1.ContainerStatus{Name: container.Name, Image: container.Image, Started: &no}
}

// withRun adds what a status has once its container was started: the image was pulled, and the run has a name.
func withRun(status corev1.ContainerStatus, pod *corev1.Pod) corev1.ContainerStatus {
	status.ImageID = status.Image
	status.ContainerID = fmt.Sprintf("%s%s/%s/%d", containerIDPrefix, pod.UID, status.Name, status.RestartCount)
	return status
}

func running(status corev1.ContainerStatus, previous *corev1.ContainerStatus, ready bool, now metav1.Time) corev1.ContainerStatus {
	since := now
	if previous != nil && previous.State.Running != nil {
		since = previous.State.Running.StartedAt
	}
	yes := true
	status.State.Running = &corev1.ContainerStateRunning{StartedAt: since}
	status.Started, status.Ready = &yes, ready
	return status
}

func waiting(status corev1.ContainerStatus, reason, message string) corev1.ContainerStatus {
	status.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: message}
	return status
}

func ended(status corev1.ContainerStatus, previous *corev1.ContainerStatus, code int32, reason string, now metav1.Time) corev1.ContainerStatus {
	started := now
	if previous != nil {
		if previous.State.Terminated != nil {
			return *previous
		}
		if previous.State.Running != nil {
			started = previous.State.Running.StartedAt
		}
	}
	status.State.Terminated = &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, StartedAt: started, FinishedAt: now}
	return status
}

// crashed ends for good where the Pod is not restarted. Else it goes from one restart to the next, each after a longer
// wait than the last, and is seen waiting in between.
func crashed(status corev1.ContainerStatus, previous *corev1.ContainerStatus, pod *corev1.Pod, code int32, reason string, now metav1.Time) (corev1.ContainerStatus, time.Duration) {
	if pod.Spec.RestartPolicy == corev1.RestartPolicyNever {
		return ended(withRun(status, pod), previous, code, reason, now), 0
	}
	restarts, lastEnd := int32(0), time.Time{}
	if previous != nil && previous.LastTerminationState.Terminated != nil {
		restarts, lastEnd = previous.RestartCount, previous.LastTerminationState.Terminated.FinishedAt.Time
	}
	if due := lastEnd.Add(restartAfter(restarts)).Sub(now.Time); restarts > 0 && due > 0 {
		return *previous, due
	}
	status.RestartCount = restarts + 1
	wait := restartAfter(status.RestartCount)
	status = withRun(status, pod)
	status.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, StartedAt: now, FinishedAt: now, ContainerID: status.ContainerID,
	}
	status = waiting(status, "CrashLoopBackOff",
		fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", wait, status.Name, pod.Name, pod.Namespace, pod.UID))
	return status, wait
}

func restartAfter(restarts int32) time.Duration {
	wait := restartFirstAfter
	for i := int32(1); i < restarts && wait < restartLastAfter; i++ {
		wait *= 2
	}
	return min(wait, restartLastAfter)
}

// initStatuses: init containers succeed at once; those that are restarted (sidecars) run and are ready.
func initStatuses(pod *corev1.Pod, previous []corev1.ContainerStatus, now metav1.Time) []corev1.ContainerStatus {
	var statuses []corev1.ContainerStatus
	for i := range pod.Spec.InitContainers {
		container := &pod.Spec.InitContainers[i]
		before := previousOf(previous, container.Name)
		status := withRun(newStatus(container), pod)
		if container.RestartPolicy != nil && *container.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			status = running(status, before, true, now)
		} else {
			status = ended(status, before, 0, "Completed", now)
			status.Ready = true
		}
		statuses = append(statuses, status)
	}
	return statuses
}

// phaseOf follows the kubelet: Pending until every container has started once, then Running, and an end only where no
// container will be restarted.
func phaseOf(pod *corev1.Pod, statuses []corev1.ContainerStatus) corev1.PodPhase {
	over, failed, unborn := 0, 0, 0
	for _, status := range statuses {
		switch {
		case status.State.Terminated != nil:
			over++
			if status.State.Terminated.ExitCode != 0 {
				failed++
			}
		case status.State.Waiting != nil && status.LastTerminationState.Terminated == nil:
			unborn++
		}
	}
	switch {
	case unborn > 0:
		return corev1.PodPending
	case over < len(statuses) || pod.Spec.RestartPolicy == corev1.RestartPolicyAlways:
		return corev1.PodRunning
	case failed > 0:
		return corev1.PodFailed
	default:
		return corev1.PodSucceeded
	}
}

// conditionsOf writes the conditions that are a kubelet's and keeps the others (readiness gates, the scheduler's).
func conditionsOf(pod *corev1.Pod, status *corev1.PodStatus, now metav1.Time) []corev1.PodCondition {
	ready, reason, message := corev1.ConditionTrue, "", ""
	var unready []string
	for _, container := range status.ContainerStatuses {
		if !container.Ready {
			unready = append(unready, container.Name)
		}
	}
	switch {
	case status.Phase == corev1.PodSucceeded:
		ready, reason = corev1.ConditionFalse, "PodCompleted"
	case status.Phase == corev1.PodFailed:
		ready, reason = corev1.ConditionFalse, "PodFailed"
	case len(unready) > 0:
		ready, reason = corev1.ConditionFalse, "ContainersNotReady"
		message = fmt.Sprintf("containers with unready status: %v", unready)
	}
	conditions := status.Conditions
	set := func(kind corev1.PodConditionType, value corev1.ConditionStatus, reason, message string) {
		conditions = withCondition(conditions, corev1.PodCondition{
			Type: kind, Status: value, Reason: reason, Message: message, LastTransitionTime: now, ObservedGeneration: pod.Generation,
		})
	}
	started := corev1.ConditionTrue
	if terminal(status.Phase) {
		started = corev1.ConditionFalse
	}
	set(corev1.PodReadyToStartContainers, started, "", "")
	set(corev1.PodInitialized, corev1.ConditionTrue, "", "")
	set(corev1.ContainersReady, ready, reason, message)
	if gate, missing := closedGate(pod, conditions); ready == corev1.ConditionTrue && missing {
		ready, reason = corev1.ConditionFalse, "ReadinessGatesNotReady"
		message = fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist or is not True.", gate)
	}
	set(corev1.PodReady, ready, reason, message)
	return conditions
}

func closedGate(pod *corev1.Pod, conditions []corev1.PodCondition) (corev1.PodConditionType, bool) {
	for _, gate := range pod.Spec.ReadinessGates {
		open := false
		for _, condition := range conditions {
			open = open || (condition.Type == gate.ConditionType && condition.Status == corev1.ConditionTrue)
		}
		if !open {
			return gate.ConditionType, true
		}
	}
	return "", false
}

// withCondition replaces the condition of the same type; its transition time is kept while the status is the same.
func withCondition(conditions []corev1.PodCondition, wanted corev1.PodCondition) []corev1.PodCondition {
	for i, present := range conditions {
		if present.Type != wanted.Type {
			continue
		}
		if present.Status == wanted.Status {
			wanted.LastTransitionTime = present.LastTransitionTime
		}
		conditions[i] = wanted
		return conditions
	}
	return append(conditions, wanted)
}

// endedStatus is the last status of a Pod that is deleted while its containers run: they end well, and the Pod with
// them, whatever its restart policy.
func endedStatus(pod *corev1.Pod, now metav1.Time) corev1.PodStatus {
	status := *pod.Status.DeepCopy()
	status.Phase = corev1.PodSucceeded
	for i := range status.ContainerStatuses {
		container := &status.ContainerStatuses[i]
		if container.State.Running == nil {
			if container.State.Terminated == nil || container.State.Terminated.ExitCode != 0 {
				status.Phase = corev1.PodFailed
			}
			continue
		}
		no := false
		container.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			Reason: "Completed", StartedAt: container.State.Running.StartedAt, FinishedAt: now,
		}}
		container.Ready, container.Started = false, &no
	}
	status.Conditions = conditionsOf(pod, &status, now)
	return status
}
