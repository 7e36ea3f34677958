// Command oracle renders with the Helm SDK: one JSON request a line on standard input, one JSON answer a line on standard output.
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"os"

	"conformance/helm/internal/sdk"
)

func main() {
	log.SetOutput(io.Discard)
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var request sdk.Request
			answer := sdk.Answer{}
			if err := json.Unmarshal(line, &request); err != nil {
				answer.Error = "bad request: " + err.Error()
			} else {
				answer = sdk.Render(request)
			}
			data, err := json.Marshal(answer)
			if err != nil {
				log.Fatal(err)
			}
			out.Write(data)
			out.WriteByte('\n')
			out.Flush()
		}
		if err != nil {
			return
		}
	}
}
