package main

import (
	"reflect"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// zeroRules says what becomes of the zero value of a field when the server writes an object: "?" it is left out, "+" it is
// written even if it was never sent. It follows from the JSON tags of the API's Go types.
func zeroRules() map[field]string {
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, apiextensions.AddToScheme, apiregistration.AddToScheme} {
		if err := add(known); err != nil {
			panic(err) // the types of one release fit together
		}
	}
	rules, seen := map[field]string{}, map[reflect.Type]bool{}
	for _, of := range known.AllKnownTypes() {
		readTags(of, rules, seen)
	}
	return rules
}

// hasOwnForm lists the types that write themselves, as no struct is written.
var hasOwnForm = map[string]bool{"JSON": true, "RawExtension": true, "IntOrString": true, "Quantity": true}

func readTags(of reflect.Type, rules map[field]string, seen map[reflect.Type]bool) {
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		readTags(of.Elem(), rules, seen)
		return
	case reflect.Struct:
	default:
		return
	}
	if seen[of] {
		return
	}
	seen[of] = true
	fields(of, func(name, options string, of reflect.Type) {
		readTags(of, rules, seen)
	})
	name := typeName(of)
	_, isObject := of.FieldByName("TypeMeta")
	fields(of, func(json, options string, of reflect.Type) {
		omits := strings.Contains(options, "omitempty")
		switch kind := of.Kind(); {
		case isObject && (json == "apiVersion" || json == "kind"):
		case strings.Contains(options, "omitzero") || hasOwnForm[of.Name()]:
		case kind == reflect.Struct:
			rules[field{name, json}] = "+"
		case omits && (kind == reflect.Pointer || kind == reflect.Slice || kind == reflect.Map || kind == reflect.Struct):
		case omits:
			rules[field{name, json}] = "?"
		case kind != reflect.Pointer && kind != reflect.Struct:
			rules[field{name, json}] = "+"
		}
	})
}

// fields calls `each` with JSON name, options and type of every field, those of inlined structs included.
func fields(of reflect.Type, each func(name, options string, of reflect.Type)) {
	for i := range of.NumField() {
		tag, options, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		switch {
		case tag == "-" || !of.Field(i).IsExported():
		case tag == "" && of.Field(i).Type.Kind() == reflect.Struct:
			fields(of.Field(i).Type, each)
		case tag != "":
			each(tag, options, of.Field(i).Type)
		}
	}
}

// typeName turns k8s.io/api/apps/v1.Deployment into apps.v1.Deployment.
func typeName(of reflect.Type) string {
	parts := strings.Split(of.PkgPath(), "/")
	return strings.Join(append(parts[max(0, len(parts)-2):], of.Name()), ".")
}
