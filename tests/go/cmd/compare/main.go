// Compare measures Go's Asynq and ours in turn, in one run on one Redis, and prints how much better ours is. It is
// started by bench/compare, which builds the rigs of both sides.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"regexp"
	"runtime"
	"sort"
	"strings"
	"time"
)

var (
	rounds      = flag.Int("rounds", 3, "rounds of each case; the order of the sides is swapped between them")
	payload     = flag.Int("payload", 200, "bytes of payload, where the case does not say")
	concurrency = flag.Int("concurrency", 0, "concurrency of the workers, instead of each case's own")
	latency     = flag.Float64("latency", 0, "ms that a proxy adds to each round trip of a worker")
	scale       = flag.Float64("scale", 1, "share of each case's number of tasks, and of the time that idle workers are watched")
	quick       = flag.Bool("quick", false, "one round of the most important cases, with fewer tasks")
	only        = flag.String("only", "", "only cases whose names match this regular expression")
	list        = flag.Bool("list", false, "list the cases")
	jsonFile    = flag.String("json", "build/compare.json", "write all measurements to this file")
	svgFile     = flag.String("svg", "build/compare.svg", "write a chart to this file")
	patience    = flag.Duration("patience", 3*time.Minute, "give up when a side is silent for so long")
)

type bench struct {
	redis    *server
	uri      string
	idleTime time.Duration
}

func (b *bench) count(side string, goTasks, c int) int {
	count := c
	if side == "go" {
		count = goTasks
	}
	return max(1, int(float64(count)**scale))
}

var taskKey = regexp.MustCompile(`^asynq:\{[^}]*\}:(t:.*|pending|active|lease|scheduled|retry|archived)$`)

func isTaskKey(key string) bool { return taskKey.MatchString(key) }

// outcome is what all rounds of a case measured, by side.
type outcome struct {
	Name   string               `json:"name"`
	Text   string               `json:"text"`
	Sides  map[string][]metrics `json:"sides"`
	Ratios []ratioValue         `json:"ratios"`
}

type ratioValue struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Least float64 `json:"least"`
	Most  float64 `json:"most"`
}

func median(values []float64) float64 {
	sorted := append([]float64{}, values...)
	sort.Float64s(sorted)
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

func (o *outcome) median(side, metric string) float64 {
	var values []float64
	for _, m := range o.Sides[side] {
		values = append(values, m[metric])
	}
	return median(values)
}

// compare takes the ratio of each round, whose two runs follow each other, and their median.
func (o *outcome) compare(base string, r ratio) ratioValue {
	var values []float64
	for round, ours := range o.Sides["c"] {
		theirs := o.Sides[base][round]
		if r.isCost {
			values = append(values, theirs[r.metric]/ours[r.metric])
		} else {
			values = append(values, ours[r.metric]/theirs[r.metric])
		}
	}
	sort.Float64s(values)
	return ratioValue{r.name, median(values), values[0], values[len(values)-1]}
}

func (b *bench) measureCase(c benchCase) *outcome {
	sides := c.pair()
	o := &outcome{Name: c.name, Text: c.text, Sides: map[string][]metrics{}}
	count := *rounds
	if c.once {
		count = 1
	}
	for round := range count {
		for i := range sides {
			side := sides[(i+round)%len(sides)]
			fmt.Fprintf(os.Stderr, "\r\033[K%s: round %d of %d, %s", c.name, round+1, count, side)
			o.Sides[side] = append(o.Sides[side], c.run(b, side))
		}
	}
	fmt.Fprint(os.Stderr, "\r\033[K")
	for _, r := range c.ratios {
		o.mustHave(r.metric)
		o.Ratios = append(o.Ratios, o.compare(sides[0], r))
	}
	return o
}

// mustHave ends the program unless each run has measured this: a ratio of nothing is none.
func (o *outcome) mustHave(metric string) {
	for side, runs := range o.Sides {
		for _, m := range runs {
			if value, ok := m[metric]; !ok || value <= 0 || math.IsInf(value, 0) || math.IsNaN(value) {
				log.Fatalf("%s: %s has no %s: %v", o.Name, side, metric, m)
			}
		}
	}
}

var units = []struct {
	metric, title string
	isWait        bool
}{
	{"rate", "tasks/s", false}, {"redis_us", "Redis us", false}, {"worker_us", "worker us", false},
	{"client_us", "client us", false}, {"memory_kb", "kB", false}, {"memory_kb_per_1000", "kB/1000", false},
	{"empty_leases", "empty leases", false}, {"p50_ms", "p50 ms", true}, {"p99_ms", "p99 ms", true}, {"max_ms", "max ms", true},
	{"commands_per_s", "commands/s", false}, {"worker_us_per_s", "worker us/s", false}, {"start_ms", "start ms", false},
}

// describe prints a case: a line per side with the medians, then the ratios.
func (o *outcome) describe(sides []string) {
	fmt.Printf("%s: %s\n", o.Name, o.Text)
	for _, side := range sides {
		fmt.Printf("    %-6s", side)
		for _, unit := range units {
			if _, ok := o.Sides[side][0][unit.metric]; !ok || (unit.isWait && !o.showsWaits()) {
				continue
			}
			value := o.median(side, unit.metric)
			precision := 0
			if value < 100 {
				precision = 2
			}
			fmt.Printf("  %s %.*f", unit.title, precision, value)
		}
		fmt.Println()
	}
	for _, r := range o.Ratios {
		fmt.Printf("    %s %.1fx", r.Name, r.Value)
		if r.Least != r.Most {
			fmt.Printf(" (%.1f to %.1f)", r.Least, r.Most)
		}
		fmt.Println()
	}
}

// showsWaits: how long tasks waited says something only where it is what was measured, not in a backlog.
func (o *outcome) showsWaits() bool {
	for _, r := range o.Ratios {
		if strings.Contains(r.Name, "_p") {
			return true
		}
	}
	return false
}

func selected() []benchCase {
	pattern := regexp.MustCompile(*only)
	var chosen []benchCase
	for _, c := range cases {
		if pattern.MatchString(c.name) && (c.quick || !*quick) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		log.Fatalf("no case matches %q", *only)
	}
	return chosen
}

func machine(b *bench) string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if found := regexp.MustCompile(`model name\s*: (.*)`).FindStringSubmatch(string(text)); found != nil {
			model = found[1]
		}
	}
	version := "?"
	info, _ := b.redis.do("INFO", "server").(string)
	if found := regexp.MustCompile(`redis_version:(\S+)`).FindStringSubmatch(info); found != nil {
		version = found[1]
	}
	return fmt.Sprintf("%d processors (%s), Redis %s, %s", runtime.NumCPU(), model, version, runtime.Version())
}

func main() {
	runtime.LockOSThread() // see endsWithUs
	flag.Parse()
	if *list {
		for _, c := range cases {
			fmt.Printf("%-20s %s\n", c.name, c.text)
		}
		return
	}
	if *quick {
		*rounds = 1
		*scale *= 0.25
	}
	idleTime := time.Duration(min(10, max(3, 10**scale)) * float64(time.Second))
	b := &bench{redis: startServer(), idleTime: idleTime}
	defer b.redis.stop()
	b.uri = "redis://" + b.redis.address
	fmt.Println(machine(b))
	for _, side := range []string{"go", "c"} { // warm-up: does not count
		b.work(side, load{goTasks: 5000, c: 20000})
	}
	var all []*outcome
	for _, c := range selected() {
		o := b.measureCase(c)
		o.describe(c.pair())
		all = append(all, o)
	}
	for _, o := range all {
		for _, r := range o.Ratios {
			fmt.Printf("ratio %s %.2f\n", r.Name, r.Value)
		}
	}
	if *jsonFile != "" {
		text, err := json.MarshalIndent(map[string]any{"machine": machine(b), "command": strings.Join(os.Args[1:], " "),
			"date": time.Now().UTC().Format(time.DateOnly), "cases": all}, "", "  ")
		check(err)
		check(os.WriteFile(*jsonFile, append(text, '\n'), 0o644))
	}
	if *svgFile != "" {
		check(os.WriteFile(*svgFile, []byte(chart(all)), 0o644))
	}
}
