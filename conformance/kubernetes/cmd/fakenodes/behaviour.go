// What a Pod asks its fake kubelet to do, read from its annotations. Decides nothing about time or status.

package main

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Annotations on a Pod (so: on the Pod template of its workload) that say what its containers do.
const (
	// annotationBehaviour takes one of the behaviours below.
	annotationBehaviour = "fakenodes/behaviour"
	// annotationReadyAfter delays readiness: a Go duration ("3s") counted from the start of the Pod.
	annotationReadyAfter = "fakenodes/ready-after"
)

// behaviour is what every container of a Pod does once it is started.
type behaviour string

const (
	// behaviourRun starts and stays ready. The default where restartPolicy is Always.
	behaviourRun behaviour = "run"
	// behaviourComplete exits with 0 at once. The default where restartPolicy is Never or OnFailure, as in a Job.
	behaviourComplete behaviour = "complete"
	// behaviourCrash exits with 1 at once: a crash loop where it is restarted, a Failed Pod where it is not.
	behaviourCrash behaviour = "crash"
	// behaviourOutOfMemory is behaviourCrash with exit code 137 and the reason OOMKilled.
	behaviourOutOfMemory behaviour = "out-of-memory"
	// behaviourNotReady starts and runs, and its readiness probe never succeeds.
	behaviourNotReady behaviour = "not-ready"
	// behaviourImagePullError never starts: ImagePullBackOff.
	behaviourImagePullError behaviour = "image-pull-error"
	// behaviourConfigError never starts: CreateContainerConfigError, as where a ConfigMap it refers to is missing.
	behaviourConfigError behaviour = "config-error"
	// behaviourInvalid never starts either, and says that the annotations cannot be read.
	behaviourInvalid behaviour = "invalid"
)

// orders is what a Pod's annotations ask for.
type orders struct {
	behaviour  behaviour
	readyAfter time.Duration
	problem    string // why behaviour is behaviourInvalid
}

// ordersOf reads the annotations. What cannot be read makes the Pod wait with the reason in its status, so that a
// misspelt test fails where its author looks.
func ordersOf(pod *corev1.Pod) orders {
	result := orders{behaviour: behaviourRun}
	if pod.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		result.behaviour = behaviourComplete
	}
	if text, ok := pod.Annotations[annotationBehaviour]; ok {
		result.behaviour = behaviour(text)
	}
	switch result.behaviour {
	case behaviourRun, behaviourComplete, behaviourCrash, behaviourOutOfMemory, behaviourNotReady, behaviourImagePullError, behaviourConfigError:
	default:
		return orders{behaviour: behaviourInvalid, problem: fmt.Sprintf("unknown %s %q", annotationBehaviour, result.behaviour)}
	}
	if text, ok := pod.Annotations[annotationReadyAfter]; ok {
		after, err := time.ParseDuration(text)
		if err != nil || after < 0 {
			return orders{behaviour: behaviourInvalid, problem: fmt.Sprintf("%s %q is not a duration", annotationReadyAfter, text)}
		}
		result.readyAfter = after
	}
	return result
}
