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
	"regexp"
	"strings"
	"time"

	"conformance/helm/internal/sdk"
)

func main() {
	subject := flag.String("subject", "", "the command that renders JSON requests, one a line")
	seed := flag.Uint64("seed", 1, "the first seed")
	count := flag.Uint64("count", 20000, "how many cases")
	shown := flag.Int("show", 20, "how many differences to print in full")
	serve := flag.Bool("serve", false, "be the process that renders with Helm")
	flag.Parse()
	log.SetFlags(0)
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	log.SetOutput(io.Discard)
	if *serve {
		sdk.Serve(os.Stdin, os.Stdout)
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
	counts, different := map[string]int{}, 0
	for n := *seed; n < *seed+*count; n++ {
		request := grow(n)
		answer, err := ours.render(request)
		if err != nil {
			fmt.Fprintf(os.Stderr, "seed %d: ours: %v\n", n, err)
			os.Exit(2)
		}
		theirs, err := helm.render(request)
		if err != nil {
			// Some templates send Helm into a loop without an end, or past the end of its stack.
			counts["Helm died"]++
			fmt.Printf("seed %d: Helm died\n", n)
			if helm, err = start(os.Args[0], "-serve"); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(2)
			}
			continue
		}
		verdict := compare(theirs, answer)
		counts[verdict]++
		if verdict == "rendered equal" || verdict == "failed for the same reason" || verdict == refused {
			continue
		}
		different++
		if *shown--; *shown >= 0 {
			report(n, request, theirs, answer, verdict)
		}
	}
	fmt.Printf("seeds %d to %d: %v\n", *seed, *seed+*count-1, counts)
	if different > 0 {
		os.Exit(1)
	}
}

// process renders requests, one a line.
type process struct {
	command *exec.Cmd
	in      io.Writer
	out     *bufio.Reader
}

func start(command string, args ...string) (*process, error) {
	c := exec.Command(command, args...)
	c.Env = append(os.Environ(), "GOMEMLIMIT=1GiB")
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
func (p *process) render(request sdk.Request) (answer sdk.Answer, err error) {
	line, err := json.Marshal(request)
	if err != nil {
		return
	}
	if _, err = p.in.Write(append(line, '\n')); err != nil {
		return
	}
	late := time.AfterFunc(20*time.Second, func() { p.command.Process.Kill() })
	line, err = p.out.ReadBytes('\n')
	late.Stop()
	if err != nil {
		p.command.Process.Kill()
		p.command.Wait()
		return
	}
	err = json.Unmarshal(line, &answer)
	return
}

// refused is the verdict where a template asks for the present moment or for chance.
const refused = "refused, being random"

// parsing begins the words of a parser, which are its own, up to the end of the line or of the text that holds them.
var parsing = regexp.MustCompile("(error converting YAML to JSON: yaml|toml): [^\n]*")

func masked(text string) string { return parsing.ReplaceAllString(text, "$1") }

func compare(theirs, ours sdk.Answer) string {
	switch {
	case theirs.Error == "" && ours.Error == "":
		for name, text := range theirs.Files {
			if masked(string([]rune(text))) != masked(ours.Files[name]) {
				return "rendered different"
			}
		}
		return "rendered equal"
	case strings.Contains(ours.Error, "error[nondeterministic]"):
		return refused
	case theirs.Error == "":
		return "only ours failed"
	case ours.Error == "":
		return "only Helm failed"
	case strings.Contains(ours.Error, cause(theirs.Error)):
		return "failed for the same reason"
	default:
		return "failed for another reason"
	}
}

// cause returns what Helm's message says went wrong, without its nesting and places.
func cause(message string) string {
	if head, ok := strings.CutPrefix(message, "YAML parse error on "); ok {
		path, _, _ := strings.Cut(head, ": ")
		return path
	}
	message = strings.TrimSpace(message)
	for _, head := range []string{"execution error at (", "parse error at ("} {
		if rest, ok := strings.CutPrefix(message, head); ok {
			_, message, _ = strings.Cut(rest, "): ")
			return message
		}
	}
	for _, nesting := range nestings {
		if at := nesting.FindAllStringIndex(message, -1); at != nil {
			message = message[at[len(at)-1][1]:]
		}
	}
	return strings.TrimSpace(message)
}

// nestings are what Helm puts before a cause, from the outside in.
var nestings = []*regexp.Regexp{
	regexp.MustCompile(`\n  executing "[^"]*" at <(?s:.*?)>:\n    `),
	regexp.MustCompile(`template: \S+:\d+:\d+: executing "[^"]*" at <(?s:.*?)>: `),
	regexp.MustCompile(`error calling \w+:\s+`),
	regexp.MustCompile(`(?s)^cannot parse template ".*": template: \S+: `),
}

func report(seed uint64, request sdk.Request, theirs, ours sdk.Answer, verdict string) {
	fmt.Printf("== seed %d: %s\n", seed, verdict)
	for _, name := range sorted(request.Files) {
		fmt.Printf("-- %s --\n%s\n", name, request.Files[name])
	}
	if theirs.Error != "" || ours.Error != "" {
		fmt.Printf("-- helm --\n%s\n-- ours --\n%s\n", theirs.Error, ours.Error)
	}
	for _, name := range sorted(theirs.Files) {
		if text := string([]rune(theirs.Files[name])); ours.Error == "" && text != ours.Files[name] {
			fmt.Printf("-- helm: %s --\n%s\n-- ours: %s --\n%s\n", name, text, name, ours.Files[name])
		}
	}
}
