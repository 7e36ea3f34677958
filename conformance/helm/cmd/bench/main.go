// Command bench renders charts with Helm's engine, in this process, as often as it is told, and says how long that took.
//
// It is the other side of `cargo bench -p generator`, which starts it and speaks JSON with it, one object a line each way:
//
//	{"load": REQUEST}   loads a chart and the values files of one release; answers with the texts it renders to, or an error
//	{"run": N}          renders that release N times; answers with nanoseconds of the clock and of all processors
//
// Rendering is what `helm template` does between a loaded chart with parsed values and the texts: values merged, subcharts settled, values
// coalesced, templates executed. The copies of the chart that Helm needs for it, because it settles subcharts in place, are made
// before the clock is started.
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"os"
	"syscall"
	"time"

	"conformance/helm/internal/sdk"
)

type question struct {
	Load *sdk.Request `json:"load"`
	Run  int          `json:"run"`
}

type answer struct {
	Files map[string]string `json:"files,omitempty"`
	Wall  int64             `json:"wall"`
	CPU   int64             `json:"cpu"`
	Error string            `json:"error,omitempty"`
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	log.SetOutput(io.Discard)
	in, out := bufio.NewReaderSize(os.Stdin, 1<<20), json.NewEncoder(os.Stdout)
	var release *sdk.Unsettled
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var q question
		var a answer
		err = json.Unmarshal(line, &q)
		if err == nil && q.Load != nil {
			if release, err = sdk.Load(*q.Load); err == nil {
				a.Files, err = render(release.Copy())
			}
		} else if err == nil {
			a.Wall, a.CPU, err = run(release, q.Run)
		}
		if err != nil {
			a = answer{Error: err.Error()}
		}
		if out.Encode(a) != nil {
			return
		}
	}
}

func render(release *sdk.Unsettled) (map[string]string, error) {
	prepared, err := release.Settle()
	if err != nil {
		return nil, err
	}
	return prepared.Render()
}

func run(release *sdk.Unsettled, times int) (wall, cpu int64, err error) {
	copies := make([]*sdk.Unsettled, times)
	for i := range copies {
		copies[i] = release.Copy()
	}
	start, spent := time.Now(), processors()
	for i, copied := range copies {
		copies[i] = nil
		if _, err := render(copied); err != nil {
			return 0, 0, err
		}
	}
	return time.Since(start).Nanoseconds(), processors() - spent, nil
}

// processors returns the time that all threads of this process, the garbage collector's included, have run.
func processors() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}
