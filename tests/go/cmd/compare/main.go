// Compare measures Go's Asynq and ours in turn, in one run on one Redis, and prints how much better ours is. It is
// started by bench/compare, which builds the rigs of both sides.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/hibiken/asynq/libasynq-tests/measured"
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
	svgFile     = flag.String("svg", "build/compare.svg", "write the chart of the README to this file")
	from        = flag.String("from", "", "measure nothing: print the table of docs/performance.md, and write the chart, from the file of an earlier run")
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

func (b *bench) measureCase(c benchCase) *measured.Outcome {
	sides := c.pair()
	o := &measured.Outcome{Name: c.name, Text: c.text, Sides: map[string][]measured.Metrics{}}
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
		o.MustHave(r.metric)
		o.Ratios = append(o.Ratios, o.Compare(r.name, "c", sides[0], r.metric, r.isCost))
	}
	return o
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
func describe(o *measured.Outcome, sides []string) {
	fmt.Printf("%s: %s\n", o.Name, o.Text)
	for _, side := range sides {
		fmt.Printf("    %-6s", side)
		for _, unit := range units {
			if _, ok := o.Sides[side][0][unit.metric]; !ok || (unit.isWait && !showsWaits(o)) {
				continue
			}
			value := o.Median(side, unit.metric)
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
		if r.Min != r.Max {
			fmt.Printf(" (%.1f to %.1f)", r.Min, r.Max)
		}
		fmt.Println()
	}
}

// showsWaits: how long tasks waited says something only where it is what was measured, not in a backlog.
func showsWaits(o *measured.Outcome) bool {
	for _, r := range o.Ratios {
		if strings.Contains(r.Name, "_p") {
			return true
		}
	}
	return false
}

func allCases() []benchCase { return append(cases, clusterCases...) }

func selected() []benchCase {
	pattern := regexp.MustCompile(*only)
	var chosen []benchCase
	for _, c := range allCases() {
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

// result is a run, as it is kept.
type result struct {
	Machine string              `json:"machine"`
	Command string              `json:"command"`
	Date    string              `json:"date"`
	Cases   []*measured.Outcome `json:"cases"`
}

// draw writes the chart.
func (r result) draw() {
	if *svgFile != "" {
		check(os.WriteFile(*svgFile, []byte(chart(figures(r.Cases), r.Machine)), 0o644))
	}
}

func drawEarlier(file string) {
	text, err := os.ReadFile(file)
	check(err)
	var r result
	check(json.Unmarshal(text, &r))
	fmt.Printf("%s, %s\n\n%s", r.Date, r.Machine, table(figures(r.Cases)))
	r.draw()
}

func main() {
	runtime.LockOSThread() // see endsWithUs
	flag.Parse()
	if *list {
		for _, c := range allCases() {
			fmt.Printf("%-20s %s\n", c.name, c.text)
		}
		return
	}
	if *from != "" {
		drawEarlier(*from)
		return
	}
	if *quick {
		*rounds = 1
		*scale *= 0.25
	}
	idleTime := time.Duration(min(10, max(3, 10**scale)) * float64(time.Second))
	b := &bench{redis: &server{Redis: measured.StartRedis(endsWithUs)}, idleTime: idleTime}
	defer b.redis.Stop()
	b.uri = "redis://" + b.redis.Address
	fmt.Println(machine(b))
	for _, side := range []string{"go", "c"} { // warm-up: does not count
		b.work(side, load{goTasks: 5000, c: 20000})
	}
	var all []*measured.Outcome
	for _, c := range selected() {
		o := b.measureCase(c)
		describe(o, c.pair())
		all = append(all, o)
	}
	for _, o := range all {
		for _, r := range o.Ratios {
			fmt.Printf("ratio %s %.2f\n", r.Name, r.Value)
		}
	}
	r := result{Machine: machine(b), Command: strings.Join(os.Args[1:], " "), Date: time.Now().UTC().Format(time.DateOnly), Cases: all}
	if *jsonFile != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		check(err)
		check(os.WriteFile(*jsonFile, append(text, '\n'), 0o644))
	}
	r.draw()
}
