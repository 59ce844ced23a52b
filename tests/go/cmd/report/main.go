// Report reads the output of `go test -json` of one or more packages, prints which tests cover each case of the
// specification's appendix D, what was skipped, what failed, and the count of tests. It fails for a failed test, and for
// whatever would let a run look better than it was: a case that no test has covered, a package or a choice of tests
// without a test, a test without an end, output that cannot be read.
// A test that has run twice, as the input tells, counts by its second run, and is named.
// usage: report [-cases FILE] [-run REGEXP]
//
//	report -failed: prints "PACKAGE TESTS-AS-A-REGEXP" for each package with failed tests, if these are few
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
)

type event struct {
	Action, Package, ImportPath, Test, Output string
}

// run is what a run of tests has told. Its tests are named "package.Test/subtest", a package "package.".
type run struct {
	results map[string]string // by name: what became of it; "" while it runs
	again   []string          // tests that had failed and ran once more
	outputs map[string][]string
	strays  []string        // lines that are no events
	alone   []string        // packages that failed when none of their tests had
	failing map[string]bool // packages with a failed test, since they started
	err     error           // of reading
}

func read(input io.Reader) *run {
	r := &run{results: map[string]string{}, outputs: map[string][]string{}, failing: map[string]bool{}}
	scanner := bufio.NewScanner(input)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var e event
		if json.Unmarshal(scanner.Bytes(), &e) != nil {
			r.strays = append(r.strays, scanner.Text())
			continue
		}
		r.take(e)
	}
	r.err = scanner.Err()
	return r
}

func (r *run) take(e event) {
	name := e.Package + "." + e.Test
	switch e.Action {
	case "start", "run":
		if r.results[name] == "fail" && !isPackage(name) {
			r.again = append(r.again, name)
		}
		r.results[name] = ""
	case "output":
		r.outputs[name] = append(r.outputs[name], e.Output)
	case "build-output":
		r.strays = append(r.strays, strings.TrimSuffix(e.Output, "\n"))
	case "pass", "fail", "skip":
		r.results[name] = e.Action
	}
	r.noteFailure(e.Action, e.Package, e.Test)
}

// noteFailure looks at each run of a package by itself: there can be several, of different tests.
func (r *run) noteFailure(action, pkg, test string) {
	switch {
	case test == "" && action == "start":
		r.failing[pkg] = false
	case test == "" && action == "fail" && !r.failing[pkg]:
		r.alone = append(r.alone, pkg)
	case action == "fail":
		r.failing[pkg] = true
	}
}

func isPackage(name string) bool { return strings.HasSuffix(name, ".") }

// names are those of all tests and packages with a result, sorted.
func (r *run) names(results ...string) (names []string) {
	for name, result := range r.results {
		if slices.Contains(results, result) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// count counts tests without subtests, so that each check counts once.
func (r *run) count() (passed, failed int) {
	parents := map[string]bool{}
	for name := range r.results {
		if i := strings.LastIndex(name, "/"); i > strings.LastIndex(name, ".Test") {
			parents[name[:i]] = true
		}
	}
	for name, result := range r.results {
		switch {
		case isPackage(name):
		case result == "fail":
			failed++
		case result == "pass" && !parents[name]:
			passed++
		}
	}
	return passed, failed
}

// complaints are the reasons not to believe in a run none of whose tests has failed.
func (r *run) complaints(chosen string) (texts []string) {
	if r.err != nil {
		texts = append(texts, fmt.Sprintf("the output of go test cannot be read: %v", r.err))
	}
	for _, name := range r.names("") {
		texts = append(texts, fmt.Sprintf("%s has no end", name))
	}
	for _, pkg := range r.alone {
		texts = append(texts, fmt.Sprintf("package %s failed, and none of its tests", pkg))
	}
	if chosen != "" {
		return append(texts, r.unmatched(chosen)...)
	}
	if len(r.results) == 0 {
		texts = append(texts, "no test ran")
	}
	for name := range r.results {
		if isPackage(name) && !r.has(name, "pass", "fail") {
			texts = append(texts, fmt.Sprintf("no test of package %s ran", strings.TrimSuffix(name, ".")))
		}
	}
	return texts
}

// has tells whether a package has a test with such a result.
func (r *run) has(name string, results ...string) bool {
	return slices.ContainsFunc(r.names(results...), func(test string) bool {
		return test != name && strings.HasPrefix(test, name)
	})
}

// unmatched complains about each alternative of a choice of tests, as for -run, that has chosen no test.
func (r *run) unmatched(chosen string) (texts []string) {
	for _, alternative := range alternatives(chosen) {
		pattern, err := regexp.Compile(alternative)
		if err != nil {
			texts = append(texts, err.Error())
			continue
		}
		matches := func(name string) bool {
			test := name[strings.LastIndex(name, ".")+1:]
			test, _, _ = strings.Cut(test, "/")
			return pattern.MatchString(test)
		}
		if !slices.ContainsFunc(r.names("pass", "fail"), func(name string) bool { return !isPackage(name) && matches(name) }) {
			texts = append(texts, fmt.Sprintf("no test ran that -run %s chooses", alternative))
		}
	}
	return texts
}

// alternatives are the parts of a regular expression between bars that stand in no parentheses, each up to the slash
// behind which subtests are chosen.
func alternatives(chosen string) (parts []string) {
	depth, from := 0, 0
	for i := 0; i <= len(chosen); i++ {
		switch {
		case i == len(chosen) || (chosen[i] == '|' && depth == 0):
			part, _, _ := strings.Cut(chosen[from:i], "/")
			parts = append(parts, part)
			from = i + 1
		case chosen[i] == '(':
			depth++
		case chosen[i] == ')':
			depth--
		}
	}
	return parts
}

// fewFailures: when more tests than these fail, it is not for a moment in which the machine was busy.
const fewFailures = 5

// isOutOfTime tells whether a test failed in waiting, as harness.Eventually says it. What a sanitizer found is found.
func (r *run) isOutOfTime(test string) bool {
	var text strings.Builder
	for name, lines := range r.outputs {
		if name == test || strings.HasPrefix(name, test+"/") {
			text.WriteString(strings.Join(lines, ""))
		}
	}
	return strings.Contains(text.String(), ": waited ") && !strings.Contains(text.String(), "Sanitizer")
}

// failed are the tests that deserve a second try, by package, as an expression for -run.
func (r *run) failed() map[string]string {
	tests, count := map[string]string{}, 0
	for _, name := range r.names("fail") {
		i := strings.LastIndex(name, ".")
		test := name[i+1:]
		if test == "" || strings.Contains(test, "/") {
			continue
		}
		if count++; r.isOutOfTime(name) {
			tests[name[:i]] += "|" + test
		}
	}
	if count > fewFailures || len(r.names("")) > 0 {
		return nil
	}
	for name, choice := range tests {
		tests[name] = "^(" + choice[1:] + ")$"
	}
	return tests
}

var caseID = regexp.MustCompile(`/([ACGHIMRST]-\d\d)`)

// coverage prints a line per case and complains about those that no test has covered; one that was skipped has not.
func (r *run) coverage(cases string, output io.Writer) (texts []string) {
	tests := map[string][]string{}
	ran := map[string]bool{}
	for name, result := range r.results {
		for _, match := range caseID.FindAllStringSubmatch(name, 1) {
			tests[match[1]] = append(tests[match[1]], name[strings.LastIndex(name, ".Test")+1:]+" "+result)
			ran[match[1]] = ran[match[1]] || result == "pass" || result == "fail"
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(cases), "\n") {
		id, text, _ := strings.Cut(line, " ")
		if !ran[id] {
			texts = append(texts, fmt.Sprintf("no test has covered case %s %s", id, text))
		}
		sort.Strings(tests[id])
		fmt.Fprintf(output, "case %s %-60.60s %s\n", id, text, strings.Join(tests[id], ", "))
	}
	return texts
}

// report writes all of it, failures last, where a reader of a long log looks first; it returns whether all is well.
func (r *run) report(cases, chosen string, output io.Writer) bool {
	complaints := r.complaints(chosen)
	if cases != "" {
		complaints = append(complaints, r.coverage(cases, output)...)
	}
	for _, name := range r.names("skip") {
		fmt.Fprintf(output, "--- SKIP: %s\n%s", name, strings.Join(r.outputs[name], ""))
	}
	for _, stray := range r.strays {
		fmt.Fprintln(output, stray)
	}
	for _, name := range r.again {
		if r.results[name] == "pass" {
			fmt.Fprintf(output, "--- AGAIN: %s failed beside others and passed alone\n%s", name, strings.Join(r.outputs[name], ""))
		}
	}
	for _, name := range append(r.names("fail"), r.names("")...) {
		fmt.Fprintf(output, "--- FAIL: %s\n%s", name, strings.Join(r.outputs[name], ""))
	}
	for _, text := range complaints {
		fmt.Fprintf(output, "report: %s\n", text)
	}
	passed, failed := r.count()
	failed += len(complaints)
	fmt.Fprintf(output, "%d passed, %d failed\n", passed, failed)
	return failed == 0
}

func main() {
	casesFile := flag.String("cases", "", "each of its lines begins with the name of a case that must be covered")
	chosen := flag.String("run", "", "how tests were chosen, as for go test")
	failed := flag.Bool("failed", false, "print which tests to run once more")
	flag.Parse()
	if *failed {
		for name, choice := range read(os.Stdin).failed() {
			fmt.Println(name, choice)
		}
		return
	}
	cases, err := []byte{}, error(nil)
	if *casesFile != "" {
		cases, err = os.ReadFile(*casesFile)
	}
	r := read(os.Stdin)
	if err != nil {
		r.err = err
	}
	if !r.report(string(cases), *chosen, os.Stdout) {
		os.Exit(1)
	}
}
