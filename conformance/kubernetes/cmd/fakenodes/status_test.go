package main

import (
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var start = metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))

func at(after time.Duration) metav1.Time { return metav1.NewTime(start.Add(after)) }

func podThat(policy corev1.RestartPolicy, annotations map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "u-1", Generation: 3, Annotations: annotations},
		Spec:       corev1.PodSpec{RestartPolicy: policy, Containers: []corev1.Container{{Name: "app", Image: "nginx:1"}}},
	}
}

// step lets the fake kubelet look at the Pod once and stores what it would write.
func step(pod *corev1.Pod, now metav1.Time) time.Duration {
	status, again := nextStatus(pod, "10.1.0.1", "10.244.0.1", now)
	pod.Status = status
	return again
}

func readyOf(status corev1.PodStatus) (corev1.ConditionStatus, string) {
	for _, condition := range status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status, condition.Reason
		}
	}
	return "", ""
}

func TestWhatEachBehaviourLooksLike(t *testing.T) {
	always, never, onFailure := corev1.RestartPolicyAlways, corev1.RestartPolicyNever, corev1.RestartPolicyOnFailure
	for name, test := range map[string]struct {
		policy    corev1.RestartPolicy
		behaviour string
		phase     corev1.PodPhase
		ready     corev1.ConditionStatus
		reason    string
		waiting   string
		exitCode  int32
	}{
		"by default it runs":                 {always, "", corev1.PodRunning, corev1.ConditionTrue, "", "", -1},
		"by default a task completes":        {never, "", corev1.PodSucceeded, corev1.ConditionFalse, "PodCompleted", "", 0},
		"a task can be told to run on":       {onFailure, "run", corev1.PodRunning, corev1.ConditionTrue, "", "", -1},
		"a probe that never succeeds":        {always, "not-ready", corev1.PodRunning, corev1.ConditionFalse, "ContainersNotReady", "", -1},
		"a crash is restarted":               {always, "crash", corev1.PodRunning, corev1.ConditionFalse, "ContainersNotReady", "CrashLoopBackOff", -1},
		"a crash of a task is restarted":     {onFailure, "crash", corev1.PodRunning, corev1.ConditionFalse, "ContainersNotReady", "CrashLoopBackOff", -1},
		"a crash for good":                   {never, "crash", corev1.PodFailed, corev1.ConditionFalse, "PodFailed", "", 1},
		"out of memory":                      {never, "out-of-memory", corev1.PodFailed, corev1.ConditionFalse, "PodFailed", "", 137},
		"an image that is not there":         {always, "image-pull-error", corev1.PodPending, corev1.ConditionFalse, "ContainersNotReady", "ImagePullBackOff", -1},
		"a ConfigMap that is not there":      {always, "config-error", corev1.PodPending, corev1.ConditionFalse, "ContainersNotReady", "CreateContainerConfigError", -1},
		"a behaviour that is misspelt waits": {always, "cresh", corev1.PodPending, corev1.ConditionFalse, "ContainersNotReady", "InvalidBehaviour", -1},
	} {
		t.Run(name, func(t *testing.T) {
			annotations := map[string]string{}
			if test.behaviour != "" {
				annotations[annotationBehaviour] = test.behaviour
			}
			pod := podThat(test.policy, annotations)
			step(pod, start)
			if pod.Status.Phase != test.phase {
				t.Errorf("phase is %s, not %s", pod.Status.Phase, test.phase)
			}
			if ready, reason := readyOf(pod.Status); ready != test.ready || reason != test.reason {
				t.Errorf("Ready is %s %q, not %s %q", ready, reason, test.ready, test.reason)
			}
			state := pod.Status.ContainerStatuses[0].State
			if waiting := state.Waiting; (waiting == nil) != (test.waiting == "") || (waiting != nil && waiting.Reason != test.waiting) {
				t.Errorf("waiting is %v, not %q", waiting, test.waiting)
			}
			if over := state.Terminated; (over == nil) != (test.exitCode < 0) || (over != nil && over.ExitCode != test.exitCode) {
				t.Errorf("terminated is %v, not with %d", over, test.exitCode)
			}
		})
	}
}

func TestNothingIsWrittenTwice(t *testing.T) {
	for _, behaviour := range []string{"run", "complete", "crash", "not-ready", "image-pull-error", "config-error", "no such thing"} {
		pod := podThat(corev1.RestartPolicyAlways, map[string]string{annotationBehaviour: behaviour})
		step(pod, start)
		before := pod.Status.DeepCopy()
		step(pod, at(time.Millisecond))
		if !reflect.DeepEqual(*before, pod.Status) {
			t.Errorf("%s: the status changed although nothing was due:\n%v\n%v", behaviour, *before, pod.Status)
		}
	}
}

func TestACrashLoopBacksOff(t *testing.T) {
	pod := podThat(corev1.RestartPolicyAlways, map[string]string{annotationBehaviour: "crash"})
	now := start
	for restarts, wait := range []time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second} {
		if restarts == 0 {
			continue
		}
		again := step(pod, now)
		status := pod.Status.ContainerStatuses[0]
		if int(status.RestartCount) != restarts || again != wait {
			t.Fatalf("after %s: %d restarts and the next look after %s, not %d and %s", now.Sub(start.Time), status.RestartCount, again, restarts, wait)
		}
		now = metav1.NewTime(now.Add(again))
	}
	if wait := restartAfter(50); wait != restartLastAfter {
		t.Errorf("the wait grows to %s, not %s", wait, restartLastAfter)
	}
}

func TestReadinessCanBeDelayed(t *testing.T) {
	pod := podThat(corev1.RestartPolicyAlways, map[string]string{annotationReadyAfter: "3s"})
	if again := step(pod, start); again != 3*time.Second {
		t.Errorf("the next look is after %s", again)
	}
	if ready, _ := readyOf(pod.Status); ready != corev1.ConditionFalse {
		t.Error("ready at once")
	}
	if again := step(pod, at(3*time.Second)); again != 0 {
		t.Errorf("another look after %s", again)
	}
	if ready, _ := readyOf(pod.Status); ready != corev1.ConditionTrue {
		t.Error("not ready when due")
	}
}

func TestAReadinessGateIsObeyedAndKept(t *testing.T) {
	pod := podThat(corev1.RestartPolicyAlways, nil)
	pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/gate"}}
	step(pod, start)
	if ready, reason := readyOf(pod.Status); ready != corev1.ConditionFalse || reason != "ReadinessGatesNotReady" {
		t.Errorf("Ready is %s %q", ready, reason)
	}
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: "example.com/gate", Status: corev1.ConditionTrue})
	step(pod, at(time.Second))
	if ready, _ := readyOf(pod.Status); ready != corev1.ConditionTrue {
		t.Error("not ready although the gate is open")
	}
	if gate, missing := closedGate(pod, pod.Status.Conditions); missing {
		t.Errorf("the condition %s was lost", gate)
	}
}

func TestInitContainersAndSidecars(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	pod := podThat(corev1.RestartPolicyAlways, nil)
	pod.Spec.InitContainers = []corev1.Container{{Name: "migrate", Image: "m:1"}, {Name: "proxy", Image: "p:1", RestartPolicy: &always}}
	step(pod, start)
	if migrate := pod.Status.InitContainerStatuses[0].State.Terminated; migrate == nil || migrate.ExitCode != 0 {
		t.Errorf("the init container is %v", pod.Status.InitContainerStatuses[0].State)
	}
	if pod.Status.InitContainerStatuses[1].State.Running == nil || !pod.Status.InitContainerStatuses[1].Ready {
		t.Errorf("the sidecar is %v", pod.Status.InitContainerStatuses[1])
	}
}

func TestAnEndedPodIsLeftAlone(t *testing.T) {
	pod := podThat(corev1.RestartPolicyNever, nil)
	step(pod, start)
	before := pod.Status.DeepCopy()
	pod.Annotations = map[string]string{annotationBehaviour: "run"}
	step(pod, at(time.Hour))
	if !reflect.DeepEqual(*before, pod.Status) {
		t.Error("the status of a succeeded pod changed")
	}
}

func TestADeletedPodEndsWell(t *testing.T) {
	pod := podThat(corev1.RestartPolicyAlways, nil)
	step(pod, start)
	status := endedStatus(pod, at(time.Second))
	if over := status.ContainerStatuses[0].State.Terminated; status.Phase != corev1.PodSucceeded || over == nil || over.ExitCode != 0 {
		t.Errorf("phase %s, container %v", status.Phase, over)
	}
	crashing := podThat(corev1.RestartPolicyAlways, map[string]string{annotationBehaviour: "crash"})
	step(crashing, start)
	if status := endedStatus(crashing, at(time.Second)); status.Phase != corev1.PodFailed {
		t.Errorf("a crashing pod ends as %s", status.Phase)
	}
}
