// Command oracle renders with the Helm SDK: one JSON request a line on standard input, one JSON answer a line on standard output.
package main

import (
	"io"
	"log/slog"
	"os"

	"conformance/helm/internal/sdk"
)

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	sdk.Serve(os.Stdin, os.Stdout)
}
