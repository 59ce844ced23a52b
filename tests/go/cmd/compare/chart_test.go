package main

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"github.com/hibiken/asynq/libasynq-tests/measured"
)

// measuredCases are outcomes of all cases: Go's side has 100 of everything, ours 200, 300 and 250, and of costs the inverse.
func measuredCases() (all []*measured.Outcome) {
	for _, c := range allCases() {
		o := &measured.Outcome{Name: c.name, Text: "as an earlier run had it", Sides: map[string][]measured.Metrics{}}
		for _, own := range []float64{2, 3, 2.5} {
			other, ours := measured.Metrics{}, measured.Metrics{}
			for _, r := range c.ratios {
				other[r.metric], ours[r.metric] = 100, 100*own
				if r.isCost {
					ours[r.metric] = 100 / own
				}
			}
			o.Sides[c.pair()[0]], o.Sides["c"] = append(o.Sides[c.pair()[0]], other), append(o.Sides["c"], ours)
		}
		all = append(all, o)
	}
	return all
}

func TestFigures(t *testing.T) {
	list := figures(measuredCases())
	names := map[string]bool{}
	for _, f := range list {
		names[f.name] = true
		if f.other != 100 || f.times != 2.5 || f.min != 2 || f.max != 3 || f.rounds != 3 || longUnits[f.metric] == "" {
			t.Errorf("%+v", f)
		}
	}
	if !names["work_c10"] || names["share_of_limit"] {
		t.Error("figures are those beside Go, and no others: ", names)
	}
	for name := range targets {
		if !names[name] {
			t.Errorf("there is a target for %s, and no figure", name)
		}
	}
}

// The ratio of the medians is 2 here, the median of the ratios 3: it is the lower one that is told.
func TestTimesAreTheLower(t *testing.T) {
	o := &measured.Outcome{Sides: map[string][]measured.Metrics{"go": {{"rate": 1}, {"rate": 2}, {"rate": 9}},
		"c": {{"rate": 3}, {"rate": 4}, {"rate": 90}}}}
	if f := figureOf(o, "", ratio{"x", "rate", false}); f.times != 2 || f.max != 10 {
		t.Errorf("%+v", f)
	}
	o.Sides["go"], o.Sides["c"] = o.Sides["c"], o.Sides["go"]
	if f := figureOf(o, "", ratio{"x", "rate", true}); f.times != 2 {
		t.Errorf("%+v", f)
	}
}

func TestTable(t *testing.T) {
	text := table(figures(measuredCases()))
	if want := "| `work_c10` | work, concurrency 10, asynchronous handlers | 100 | 250 | tasks/s | 2.50 (2.00 to 3.00) | >= 4x |\n"; !strings.Contains(text, want) {
		t.Errorf("no %s in\n%s", want, text)
	}
	if strings.Count(text, "\n") != len(figures(measuredCases()))+2 {
		t.Errorf("not a line for each figure:\n%s", text)
	}
	for value, want := range map[float64]string{0.994: "0.99", 9.996: "10.0", 99.94: "99.9", 99.96: "100", 1234.5: "1,234", 1234567: "1,234,567"} {
		if got := number(value); got != want {
			t.Errorf("%v is written %s, not %s", value, got, want)
		}
	}
}

func TestChart(t *testing.T) {
	list := figures(measuredCases())
	text := chart(list, "a machine & more")
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := decoder.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
	if len(chartRows) != 10 || strings.Count(text, `class="bar"`) != 10 {
		t.Errorf("there are %d rows, and %d bars", len(chartRows), strings.Count(text, `class="bar"`))
	}
	for _, row := range chartRows {
		if len(row.label) < 10 || len(row.label) > 50 || strings.Contains(row.label, "_") || strings.Count(text, ">"+row.label+"<") != 1 {
			t.Errorf("%s: label %q", row.ratio, row.label)
		}
	}
	for _, want := range []string{">0.10 MB<", ">40.0 µs<", ">250<", ">2.5x<", "Medians of 3 rounds; a machine &amp; more", "prefers-color-scheme:dark"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if one := chart(list[:1], ""); strings.Count(one, `class="bar"`) != 1 {
		t.Errorf("of one figure:\n%s", one)
	}
}
