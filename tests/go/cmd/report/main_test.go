package main

import (
	"bytes"
	"strings"
	"testing"
)

// line is an event of a test, or of a package ("").
func line(action, test string) string {
	return `{"Action":"` + action + `","Package":"p","Test":"` + test + `"}` + "\n"
}

func ran(tests ...string) string { // "pass TestA", ...
	text := line("start", "")
	end := "pass"
	for _, test := range tests {
		result, name, _ := strings.Cut(test, " ")
		text += line("run", name) + line(result, name)
		if result == "fail" {
			end = "fail"
		}
	}
	return text + line(end, "")
}

func TestReport(t *testing.T) {
	for _, c := range []struct{ name, input, cases, chosen, last, contains string }{
		{"a test", ran("pass TestA"), "", "", "1 passed, 0 failed", ""},
		{"a failure", ran("pass TestA", "fail TestB"), "", "", "1 passed, 1 failed", "--- FAIL: p.TestB"},
		{"subtests count once", ran("pass TestA/x", "pass TestA/y", "pass TestA"), "", "", "2 passed, 0 failed", ""},
		{"nothing", "", "", "", "0 passed, 1 failed", "no test ran"},
		{"a package without a test", ran(), "", "", "0 passed, 1 failed", "no test of package p ran"},
		{"all skipped", ran("skip TestA"), "", "", "0 passed, 1 failed", "--- SKIP: p.TestA"},
		{"a package that fails by itself", line("start", "") + line("run", "TestA") + line("pass", "TestA") + line("fail", ""), "", "",
			"1 passed, 1 failed", "package p failed"},
		{"a package that fails by itself before it passes with other tests", line("start", "") + line("fail", "") + ran("pass TestA"), "", "",
			"1 passed, 1 failed", "package p failed"},
		{"a test without an end", line("start", "") + line("run", "TestA") + line("pass", "TestA") + line("run", "TestB"), "", "",
			"1 passed, 2 failed", "p.TestB has no end"},
		{"a chosen test", ran("pass TestA/x"), "", "TestA|TestA/x", "1 passed, 0 failed", ""},
		{"a choice that has gone", ran("pass TestA"), "", "TestA|TestGone", "1 passed, 1 failed", "-run TestGone"},
		{"a choice in parentheses", ran("pass TestAb"), "", "TestA(b|c)", "1 passed, 0 failed", ""},
		{"a chosen test that is skipped", ran("skip TestA"), "", "TestA", "0 passed, 1 failed", "-run TestA"},
		{"a package without a chosen test", ran("pass TestA") + strings.ReplaceAll(ran(), `"p"`, `"q"`), "", "TestA", "1 passed, 0 failed", ""},
		{"a covered case", ran("pass TestA/A-01"), "A-01 text", "", "1 passed, 0 failed", "case A-01 text"},
		{"a case without a test", ran("pass TestA"), "A-01 text", "", "1 passed, 1 failed", "no test has covered case A-01"},
		{"a skipped case", ran("pass TestB", "skip TestA/A-01"), "A-01 text", "", "1 passed, 1 failed", "no test has covered case A-01"},
		{"a line that is too long", ran("pass TestA") + strings.Repeat("x", 17<<20), "", "", "1 passed, 1 failed", "token too long"},
		{"a second run that passes", ran("pass TestA", "fail TestB") + ran("pass TestB"), "", "", "2 passed, 0 failed", "--- AGAIN: p.TestB"},
		{"a second run that fails", ran("pass TestA", "fail TestB/x", "fail TestB") + ran("fail TestB/x", "fail TestB"), "", "",
			"1 passed, 2 failed", "--- FAIL: p.TestB"},
		{"a stray line", "go: no such module\n", "", "", "0 passed, 1 failed", "go: no such module"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var output bytes.Buffer
			isWell := read(strings.NewReader(c.input)).report(c.cases, c.chosen, &output)
			lines := strings.Split(strings.TrimSpace(output.String()), "\n")
			if last := lines[len(lines)-1]; last != c.last || !strings.Contains(output.String(), c.contains) {
				t.Errorf("want %q at the end and %q:\n%.1000s", c.last, c.contains, output.String())
			}
			if isWell != strings.HasSuffix(c.last, " 0 failed") {
				t.Errorf("the verdict is %v", isWell)
			}
		})
	}
}

// said is a line of output of a test.
func said(test, text string) string {
	return `{"Action":"output","Package":"p","Test":"` + test + `","Output":"` + text + `"}` + "\n"
}

func TestSecondTry(t *testing.T) {
	late := said("TestA/x", "a_test.go:1: waited 5s for all")
	for _, c := range []struct{ name, input, want string }{
		{"one that waited", late + ran("fail TestA/x", "fail TestA", "pass TestB"), "^(TestA)$"},
		{"one that did not", said("TestA", "a_test.go:1: 2 is not 1") + ran("fail TestA"), ""},
		{"a sanitizer", late + said("TestA", "WARNING: ThreadSanitizer: data race") + ran("fail TestA/x", "fail TestA"), ""},
		{"many", late + ran("fail TestA/x", "fail TestA", "fail TestB", "fail TestC", "fail TestD", "fail TestE", "fail TestF"), ""},
		{"one without an end", late + ran("fail TestA/x", "fail TestA") + line("run", "TestB"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := read(strings.NewReader(c.input)).failed()["p"]; got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
