// Command fuzz renders random charts with the Helm SDK and with the generator, and compares.
//
//	go run ./cmd/fuzz -subject TARGET/release/examples/render [-seed N] [-count N] [-keep DIR]
//
// Values and templates grow from a grammar: quirky scalars, paths that lead somewhere and nowhere, every function, every control
// structure, partials, templates in values and subcharts. A case depends on its seed alone, and the seeds of differences are printed.
// Both must render the same bytes, or both must fail; where they fail, the generator's message must hold the reason that Helm gives.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"conformance/helm/internal/sdk"
)

func main() {
	subject := flag.String("subject", "", "the command that renders JSON requests, one a line")
	seed := flag.Uint64("seed", 1, "the first seed")
	count := flag.Uint64("count", 20000, "how many cases")
	shown := flag.Int("differences", 20, "how many differences to print in full")
	show := flag.Bool("show", false, "print every case in full, with both answers")
	print := flag.Bool("print", false, "print the requests as JSON, one a line, and render nothing")
	only := flag.String("kind", "", "only cases of this kind: calls, documents, loose, whole charts")
	serve := flag.Bool("serve", false, "be the process that renders with Helm")
	flag.Parse()
	log.SetFlags(0)
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	log.SetOutput(io.Discard)
	if *serve {
		sdk.Serve(os.Stdin, os.Stdout)
		return
	}
	if *print {
		encoder := json.NewEncoder(os.Stdout)
		for n := *seed; n < *seed+*count; n++ {
			_, request := grow(n)
			encoder.Encode(request)
		}
		return
	}
	ours, err := start(*subject)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	helm, err := start(os.Args[0], "-serve")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	counts, kinds, different, all := map[string]int{}, map[string]*tally{}, 0, uint64(0)
	for n := *seed; n < *seed+*count; n++ {
		kind, request := grow(n)
		if *only != "" && kind != *only {
			continue
		}
		all++
		if kinds[kind] == nil {
			kinds[kind] = &tally{}
		}
		kinds[kind].cases++
		var answer answer
		if err := ours.render(request, &answer); err != nil {
			// Whatever is asked of it, the generator must not die.
			counts["ours died"]++
			different++
			fmt.Printf("seed %d: ours died: %v\n", n, err)
			if *show {
				report(n, request, sdk.Answer{}, answer, "ours died")
			}
			if ours, err = start(*subject); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(2)
			}
			continue
		}
		var theirs sdk.Answer
		if err := helm.render(request, &theirs); err != nil {
			// Some templates send Helm into a loop without an end, or past the end of its stack. Ours must fail, and say so.
			verdict := "Helm died, ours failed"
			if answer.Error == "" {
				verdict = "Helm died, ours did not fail"
				different++
			}
			counts[verdict]++
			fmt.Printf("seed %d: %s: %s\n", n, verdict, answer.Error)
			if helm, err = start(os.Args[0], "-serve"); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(2)
			}
			continue
		}
		verdict := compare(theirs, answer)
		if !agrees(verdict) {
			verdict = retry(verdict, request, theirs, answer, helm, ours)
		}
		counts[verdict]++
		if theirs.Error == "" {
			kinds[kind].rendered++
		}
		if *show {
			report(n, request, theirs, answer, verdict)
		}
		if agrees(verdict) {
			continue
		}
		different++
		if *shown--; *shown >= 0 && !*show {
			report(n, request, theirs, answer, verdict)
		} else {
			fmt.Printf("seed %d: %s\n", n, verdict)
		}
	}
	good := 0
	for _, kind := range sorted(kinds) {
		good += kinds[kind].rendered
		fmt.Printf("%-12s %d cases, %d rendered\n", kind, kinds[kind].cases, kinds[kind].rendered)
	}
	for _, verdict := range sorted(counts) {
		fmt.Printf("%8d %s\n", counts[verdict], verdict)
	}
	fmt.Printf("seeds %d to %d: %d cases, %d %% rendered, %d differences\n", *seed, *seed+*count-1, all, uint64(good)*100/max(all, 1), different)
	if different > 0 {
		os.Exit(1)
	}
}

// tally counts the cases of one kind.
type tally struct{ cases, rendered int }

// process renders requests, one a line.
type process struct {
	command *exec.Cmd
	in      io.Writer
	out     *bufio.Reader
}

func start(command string, args ...string) (*process, error) {
	c := exec.Command(command, args...)
	c.Env = append(os.Environ(), "GOMEMLIMIT=1GiB", "TZ=UTC")
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &process{c, in, bufio.NewReaderSize(out, 1<<20)}, c.Start()
}

// render returns the answer, or an error where the process died or had to be killed.
func (p *process) render(request sdk.Request, answer any) error {
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err = p.in.Write(append(line, '\n')); err != nil {
		return err
	}
	late := time.AfterFunc(20*time.Second, func() { p.command.Process.Kill() })
	line, err = p.out.ReadBytes('\n')
	late.Stop()
	if err != nil {
		p.command.Process.Kill()
		p.command.Wait()
		return err
	}
	return json.Unmarshal(line, answer)
}

func report(seed uint64, request sdk.Request, theirs sdk.Answer, ours answer, verdict string) {
	fmt.Printf("== seed %d: %s\n", seed, verdict)
	for _, name := range sorted(request.Files) {
		fmt.Printf("-- %s --\n%s\n", name, request.Files[name])
	}
	for i, layer := range request.Layers {
		fmt.Printf("-- layer %d --\n%s\n", i, layer)
	}
	flags := request
	flags.Files, flags.Layers = nil, nil
	if data, err := json.Marshal(flags); err == nil {
		fmt.Printf("-- flags --\n%s\n", data)
	}
	if theirs.Error != "" || ours.Error != "" {
		fmt.Printf("-- helm --\n%s\n-- ours --\n%s\n", theirs.Error, ours.Error)
		return
	}
	texts := map[string][2]string{"the stream": {theirs.Stream, ours.Stream}}
	for name, text := range theirs.Files {
		texts[name] = [2]string{text, ours.Files[name]}
	}
	for _, name := range sorted(texts) {
		if text, other := runes(texts[name][0]), texts[name][1]; text != other {
			fmt.Printf("-- helm: %s --\n%s\n-- ours: %s --\n%s\n", name, text, name, other)
		} else if verdict == equal {
			fmt.Printf("-- both: %s --\n%s\n", name, text)
		}
	}
}
