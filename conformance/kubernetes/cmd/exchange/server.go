// Requests and answers as a case file holds them, over HTTP. Judges no answer: a refusal is an answer like any other.

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"
)

// server is the API under test.
type server struct {
	client  *http.Client
	address string
}

const (
	untilPatience  = 30 * time.Second
	answerPatience = 20 * time.Second
	answerBytesMax = 16 << 20
)

// sendUntil sends a request, again and again where it names the answer that is waited for.
func (s *server) sendUntil(ctx context.Context, r request) (response, error) {
	for deadline := time.Now().Add(untilPatience); ; time.Sleep(100 * time.Millisecond) {
		answer, err := s.send(ctx, r)
		if err != nil || r.Until == 0 || answer.Code == r.Until || time.Now().After(deadline) {
			return answer, err
		}
	}
}

func (s *server) send(ctx context.Context, r request) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	message, err := http.NewRequestWithContext(ctx, r.Method, s.address+r.Path, bytes.NewReader(plain(r.Body)))
	if err != nil {
		return response{}, err
	}
	message.Header.Set("Accept", "application/json")
	if r.Accept != "" {
		message.Header.Set("Accept", r.Accept)
	}
	if len(r.Body) > 0 {
		message.Header.Set("Content-Type", "application/json")
	}
	if r.ContentType != "" {
		message.Header.Set("Content-Type", r.ContentType)
	}
	answer, err := s.client.Do(message)
	if err != nil {
		return response{}, err
	}
	defer answer.Body.Close()
	if r.Events > 0 && answer.StatusCode == http.StatusOK {
		events, err := readEvents(answer.Body, r.Events)
		return response{Code: answer.StatusCode, Events: events}, err
	}
	raw, err := io.ReadAll(io.LimitReader(answer.Body, answerBytesMax))
	if err != nil {
		return response{}, err
	}
	result := response{Code: answer.StatusCode}
	if json.Unmarshal(raw, &result.Body) != nil {
		result.Body = string(raw)
	}
	if r.Verdict {
		return verdict(result, answer.Header), nil
	}
	return result, nil
}

// warningText finds the quoted text of a Warning header (RFC 9111): 299 - "text".
var warningText = regexp.MustCompile(`^\d{3} \S+ "((?:[^"\\]|\\.)*)"`)

// chance is what differs in a refusal from time to time: uids that are made and thrown away, and which of several unknown fields is named.
var chance = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "<uid>"},
	{regexp.MustCompile(`\.\S+: field not declared in schema`), "<field>: field not declared in schema"},
}

// verdict leaves of an answer what it says about the request.
func verdict(answer response, header http.Header) response {
	said := response{Code: answer.Code}
	if status, ok := answer.Body.(map[string]any); ok && answer.Code >= http.StatusBadRequest {
		message, _ := status["message"].(string)
		for _, one := range chance {
			message = one.pattern.ReplaceAllString(message, one.name)
		}
		said.Body = map[string]any{"message": message, "reason": status["reason"]}
	}
	for _, warning := range header.Values("Warning") {
		if match := warningText.FindStringSubmatch(warning); match != nil {
			said.Warnings = append(said.Warnings, match[1])
		}
	}
	return said
}

// plain returns a body that is a JSON string as that string: so a case can hold YAML, and what is no JSON at all.
func plain(body json.RawMessage) []byte {
	var text string
	if json.Unmarshal(body, &text) == nil {
		return []byte(text)
	}
	return body
}

func readEvents(body io.Reader, count int) ([]any, error) {
	lines := bufio.NewReader(body)
	var events []any
	for range count {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			break // the server closed before; the missing events show in the comparison
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
		var event any
		if err := json.Unmarshal(line, &event); err != nil {
			return nil, fmt.Errorf("watch line %q: %w", line, err)
		}
		events = append(events, event)
	}
	return events, nil
}
