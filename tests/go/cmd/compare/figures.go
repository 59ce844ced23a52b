package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/hibiken/asynq/libasynq-tests/measured"
)

// figure is one line of the result: both sides' medians, and how many times better ours is.
type figure struct {
	ratio
	text       string  // of its case
	other, own float64 // medians of the rounds
	times      float64 // the lower of two: the ratio of these medians, and the median of the rounds' ratios
	min, max   float64 // of the rounds' ratios
	rounds     int
}

// figures are those of ours beside Go's, in the order of the cases.
func figures(all []*measured.Outcome) (list []figure) {
	outcomes := map[string]*measured.Outcome{}
	for _, o := range all {
		outcomes[o.Name] = o
	}
	for _, c := range allCases() {
		if o := outcomes[c.name]; o != nil && c.pair()[0] == "go" {
			for _, r := range c.ratios {
				list = append(list, figureOf(o, c.text, r))
			}
		}
	}
	return list
}

func figureOf(o *measured.Outcome, text string, r ratio) figure {
	compared := o.Compare(r.name, "c", "go", r.metric, r.isCost)
	f := figure{ratio: r, text: text, other: o.Median("go", r.metric), own: o.Median("c", r.metric), rounds: len(o.Sides["c"])}
	f.min, f.max = compared.Min, compared.Max
	f.times = f.own / f.other
	if r.isCost {
		f.times = f.other / f.own
	}
	f.times = math.Min(f.times, compared.Value)
	return f
}

// targets are what the project aims at, for the table.
var targets = map[string]string{
	"work_c100_async": ">= 9x", "work_c100_threads": ">= 6x", "work_c10": ">= 4x", "redis_cpu_work_c100": ">= 5x",
	"worker_cpu_c100": ">= 20x", "enqueue_batch": ">= 3x", "enqueue_async": ">= 2x", "enqueue_callers16": ">= 1x",
	"active10000": ">= 25x", "active10000_random": ">= 2x", "pickup_idle_p99": ">= 200x", "pickup_100_p99": ">= 200x",
	"lateness_p99": "< 20 ms", "rss_c100": ">= 2x", "idle_commands": ">= 10x", "work_1ms": ">= 10x", "fleet64_100_p99": "< 3 ms",
}

var longUnits = map[string]string{
	"rate": "tasks/s", "redis_us": "us of Redis per task", "worker_us": "us of worker per task", "memory_kb": "kB",
	"memory_kb_per_1000": "kB per 1,000 tasks in flight", "p50_ms": "ms (p50)", "p99_ms": "ms (p99)",
	"commands_per_s": "commands/s", "worker_us_per_s": "us of worker per s", "start_ms": "ms",
}

// table is that of docs/performance.md: all figures, those with a target first.
func table(list []figure) string {
	lines := []string{"| Name | What | Go | libasynq | Unit | Times better (rounds) | Target |", "|---|---|---|---|---|---|---|"}
	for _, withTarget := range []bool{true, false} {
		for _, f := range list {
			target := targets[f.name]
			if (target != "") == withTarget {
				lines = append(lines, fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s (%s to %s) | %s |", f.name, f.text, number(f.other),
					number(f.own), longUnits[f.metric], number(f.times), number(f.min), number(f.max), target))
			}
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// number has three digits or all that are before the point, with commas.
func number(value float64) string {
	switch {
	case value < 9.995:
		return fmt.Sprintf("%.2f", value)
	case value < 99.95:
		return fmt.Sprintf("%.1f", value)
	}
	digits := fmt.Sprintf("%.0f", value)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
