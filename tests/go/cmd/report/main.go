// Report reads the output of `go test -json`, prints which tests cover each case of the specification's appendix D, and
// the count of tests. A case without a test, and a failed test, make it fail. usage: report [CASES_FILE]
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"
)

type event struct {
	Action, Package, Test, Output string
}

var caseID = regexp.MustCompile(`/([ACGHIMRST]-\d\d)`)

func main() {
	results := map[string]string{}
	outputs := map[string][]string{}
	scanner := bufio.NewScanner(os.Stdin)
	scanner.Buffer(nil, 16<<20)
	broken := 0
	var failures []string // told last, where a reader of a long log looks first
	for scanner.Scan() {
		var e event
		if json.Unmarshal(scanner.Bytes(), &e) != nil {
			fmt.Println(scanner.Text())
			continue
		}
		name := e.Package + "." + e.Test
		switch e.Action {
		case "output", "build-output":
			outputs[name] = append(outputs[name], e.Output)
		case "pass", "fail", "skip":
			results[name] = e.Action
			if e.Action == "fail" {
				failures = append(failures, fmt.Sprintf("--- FAIL: %s\n%s", name, strings.Join(outputs[name], "")))
			}
			if e.Test == "" && e.Action == "fail" {
				broken++
			}
		}
	}
	missing := coverage(results)
	fmt.Print(strings.Join(failures, ""))
	passed, failed := count(results)
	if failed == 0 {
		failed = broken
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed+missing)
	if failed+missing > 0 {
		os.Exit(1)
	}
}

// count counts tests without subtests, so that each check counts once.
func count(results map[string]string) (passed, failed int) {
	parents := map[string]bool{}
	for name := range results {
		if i := strings.LastIndex(name, "/"); i > strings.LastIndex(name, ".Test") {
			parents[name[:i]] = true
		}
	}
	for name, result := range results {
		if strings.HasSuffix(name, ".") || (parents[name] && result == "pass") {
			continue
		}
		switch result {
		case "pass":
			passed++
		case "fail":
			failed++
		}
	}
	return passed, failed
}

// coverage prints a line per case and returns how many have no passing test.
func coverage(results map[string]string) (missing int) {
	tests := map[string][]string{}
	for name, result := range results {
		for _, match := range caseID.FindAllStringSubmatch(name, 1) {
			id := match[1]
			short := name[strings.LastIndex(name, ".Test")+1:]
			tests[id] = append(tests[id], short+" "+result)
		}
	}
	if len(os.Args) < 2 {
		return 0
	}
	file, err := os.ReadFile(os.Args[1])
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for _, line := range strings.Split(strings.TrimSpace(string(file)), "\n") {
		id, text, _ := strings.Cut(line, " ")
		list := tests[id]
		sort.Strings(list)
		if len(list) == 0 {
			list = []string{"NO TEST"}
			missing++
		}
		fmt.Printf("case %s %-60.60s %s\n", id, text, strings.Join(list, ", "))
	}
	return missing
}
