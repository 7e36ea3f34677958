package main

import (
	"encoding/json"
	"testing"
)

func masked(t *testing.T, n *names, body string) string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		t.Fatal(err)
	}
	return inJSON(n.mask(response{Body: value}).Body)
}

func TestEqualStaysEqualAndDifferentStaysDifferent(t *testing.T) {
	n := newNames()
	for _, step := range []struct{ body, want string }{
		{`{"metadata":{"uid":"aa-1","resourceVersion":"7"}}`, `{"metadata":{"resourceVersion":"<rv 1>","uid":"<uid 1>"}}`},
		{`{"metadata":{"uid":"aa-1","resourceVersion":"9"}}`, `{"metadata":{"resourceVersion":"<rv 2>","uid":"<uid 1>"}}`},
		{`{"metadata":{"uid":"bb-2","resourceVersion":"7"}}`, `{"metadata":{"resourceVersion":"<rv 1>","uid":"<uid 2>"}}`},
		{`{"metadata":{"resourceVersion":"12","continue":"x"}}`, `{"metadata":{"continue":"<continue>","resourceVersion":"<list rv>"}}`},
		{`{"message":"record (9) of aa-1, not 99"}`, `{"message":"record (<rv 2>) of <uid 1>, not 99"}`},
		{`{"time":"2026-01-02T03:04:05Z","clusterIP":"10.0.0.7"}`, `{"clusterIP":"<ip>","time":"<time>"}`},
	} {
		if got := masked(t, n, step.body); got != step.want {
			t.Errorf("%s\n got %s\nwant %s", step.body, got, step.want)
		}
	}
	sent := n.unmask(request{Path: "/a?resourceVersion=<list rv>&continue=<continue>", Body: json.RawMessage(`{"uid":"<uid 2>","resourceVersion":"<rv 1>"}`)})
	if sent.Path != "/a?resourceVersion=12&continue=x" || string(sent.Body) != `{"uid":"bb-2","resourceVersion":"7"}` {
		t.Errorf("sent %s %s", sent.Path, sent.Body)
	}
}

func TestOrderLeftToChanceIsTakenOut(t *testing.T) {
	one := masked(t, newNames(), `{"details":{"causes":[{"field":".b"},{"field":".a"}]},"managedFields":[{"manager":"b","operation":"Apply"},{"manager":"a","operation":"Apply"}]}`)
	two := masked(t, newNames(), `{"details":{"causes":[{"field":".a"},{"field":".b"}]},"managedFields":[{"manager":"a","operation":"Apply"},{"manager":"b","operation":"Apply"}]}`)
	if one != two {
		t.Errorf("%s\n%s", one, two)
	}
}

func TestADifferenceIsFoundAndNamed(t *testing.T) {
	recorded := &recording{Steps: []step{{Note: "n", Request: request{Method: "GET", Path: "/a"}, Response: response{Code: 200, Body: map[string]any{"a": map[string]any{"b": 1.0}, "c": []any{1.0}}}}}}
	same := response{Code: 200, Body: map[string]any{"a": map[string]any{"b": 1.0}, "c": []any{1.0}}}
	if lines := recorded.compare([]response{same}); len(lines) != 0 {
		t.Errorf("the same answer differs: %v", lines)
	}
	for _, other := range []response{
		{Code: 201, Body: same.Body},
		{Code: 200, Body: map[string]any{"a": map[string]any{"b": 2.0}, "c": []any{1.0}}},
		{Code: 200, Body: map[string]any{"a": map[string]any{"b": 1.0}, "c": []any{1.0, 2.0}}},
		{Code: 200, Body: map[string]any{"a": map[string]any{"b": 1.0, "x": nil, "y": true}, "c": []any{1.0}}},
		{Code: 200},
	} {
		if lines := recorded.compare([]response{other}); len(lines) != 1 {
			t.Errorf("%v is taken for the recorded one", other)
		}
	}
}

func TestWhatControllersWriteIsTakenOut(t *testing.T) {
	body := map[string]any{
		"metadata": map[string]any{
			"uid": "u", "resourceVersion": "5", "annotations": map[string]any{revisionAnnotation: "1"},
			"managedFields": []any{map[string]any{"manager": "kube-controller-manager"}, map[string]any{"manager": "syncd"}},
		},
		"spec": 1.0, "status": 2.0,
	}
	withoutControllers(body)
	if got, want := inJSON(body), `{"metadata":{"managedFields":[{"manager":"syncd"}],"uid":"u"},"spec":1}`; got != want {
		t.Errorf("got %s", got)
	}
}
