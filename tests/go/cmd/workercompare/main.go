// Workercompare measures asynqd's pools of worker processes beside Celery, Dramatiq, RQ and BullMQ: the same tasks, as many
// processes, a Redis of its own for each run, in turns. It prints how many times better ours is; see bench/workers.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sort"
	"strings"
	"time"

	"github.com/hibiken/asynq/libasynq-tests/measured"
)

var (
	rounds    = flag.Int("rounds", 3, "rounds; each side runs once in each, in an order that is turned between them")
	scale     = flag.Float64("scale", 1, "share of each side's number of tasks")
	quick     = flag.Bool("quick", false, "one round with a quarter of the tasks")
	only      = flag.String("only", "", "only cases whose names match this regular expression")
	list      = flag.Bool("list", false, "list the cases")
	own       = flag.Bool("own", false, "only our side: whether measuring works, without what the others need")
	jsonFile  = flag.String("json", "build/workers.json", "write all measurements to this file")
	patience  = flag.Duration("patience", time.Minute, "give up when no task begins for so long")
	threads   = flag.String("threads", "8", "threads of each process of ours and of Dramatiq, whose default it is, for no-ops; the others have none")
	root      = flag.String("root", ".", "of the source tree")
	daemon    = flag.String("asynqd", "", "the daemon to measure")
	peers     = flag.String("peers", "build/peers", "where tools/setup-peers has installed the others")
	ourPython = flag.String("python", "python3", "the interpreter for our own worker")
)

type metrics = measured.Metrics

// ratio is what is told at the end: how many times better ours is.
type ratio struct {
	name, metric string
	isCost       bool
}

type benchCase struct {
	name, text string
	task       string
	share      float64 // of the side's number of no-ops; 0: count says how many
	count      int
	threaded   bool // else each process has one thread, as those of the others that have none
	measure    func(s side, c benchCase, count int) metrics
	ratios     []ratio
	shows      []string
}

var cases = []benchCase{
	{name: "noop", text: "a backlog of tasks that do nothing", task: "noop", share: 1, threaded: true, measure: drain,
		ratios: []ratio{{"rate", "rate", false}, {"cpu", "cpu_us", true}, {"memory", "pss_mb", true}},
		shows:  []string{"rate", "cpu_us", "redis_us", "pss_mb", "rss_mb"}},
	{name: "10ms", text: "a backlog of tasks that wait for 10 ms", task: "sleep", measure: drain,
		ratios: []ratio{{"rate", "rate", false}, {"cpu", "cpu_us", true}},
		shows:  []string{"rate", "cpu_us", "redis_us"}},
	{name: "pickup", text: "a task now and then (40 ms apart) for idle workers", task: "noop", count: 250, measure: trickle,
		ratios: []ratio{{"p50", "p50_ms", true}, {"p99", "p99_ms", true}},
		shows:  []string{"p50_ms", "p99_ms", "cpu_us"}},
}

var titles = map[string]string{"rate": "tasks/s", "cpu_us": "us of CPU per task", "redis_us": "us of Redis per task",
	"pss_mb": "MB (PSS)", "rss_mb": "MB (RSS)", "p50_ms": "p50 ms", "p99_ms": "p99 ms"}

// tasks: runs of 10 ms last as long on every side, as what limits them is the 10 ms.
func (c benchCase) tasks(l string, s side) int {
	count := float64(c.count)
	switch {
	case c.share > 0:
		count = float64(s.tasks) * c.share
	case c.count == 0 && l == "node":
		count = 16000
	case c.count == 0:
		count = 500
	}
	return max(20, int(count**scale))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func newBench(c benchCase) *bench {
	dir, err := os.MkdirTemp("", "asynqd-workers-")
	check(err)
	said, err := os.Create(filepath.Join(dir, "log"))
	check(err)
	b := &bench{redis: measured.StartRedis(endsWithUs), dir: dir, marks: filepath.Join(dir, "marks"), log: said, threads: "1"}
	if c.threaded {
		b.threads = *threads
	}
	return b
}

func (b *bench) clean() {
	b.redis.Stop()
	b.log.Close()
	os.RemoveAll(b.dir)
}

// drain works a backlog off. Measured is what comes after the first tenth: by then all processes are up.
func drain(s side, c benchCase, count int) metrics {
	b := newBench(c)
	defer b.clean()
	s.produce(b, c.task, count, 0)
	workers := b.start(s.workers(b))
	defer workers.stop()
	b.await(s.name, count/10+1)
	before, redisBefore, begun, since := used(workers.pids, false), used([]int{b.redis.Pid()}, false), b.count(), time.Now()
	b.await(s.name, count/2)
	middle := used(workers.pids, true)
	b.await(s.name, count)
	seconds, after := time.Since(since).Seconds(), used(workers.pids, true)
	redisAfter := used([]int{b.redis.Pid()}, false)
	b.mustHaveAll(s.name, count)
	tasks := float64(count - begun)
	if tasks <= 0 {
		log.Fatalf("%s: %d tasks are too few to be measured", s.name, count)
	}
	return metrics{"rate": tasks / seconds, "cpu_us": float64((after.cpu - before.cpu).Microseconds()) / tasks,
		"redis_us": float64((redisAfter.cpu - redisBefore.cpu).Microseconds()) / tasks,
		"rss_mb":   float64(max(middle.rss, after.rss)) / 1e6, "pss_mb": float64(max(middle.pss, after.pss)) / 1e6}
}

// trickle measures from just before a task is sent to its begin, with workers that have nothing else to do.
func trickle(s side, c benchCase, count int) metrics {
	b := newBench(c)
	defer b.clean()
	workers := b.start(s.workers(b))
	defer workers.stop()
	const warm, apart = 20, 40 * time.Millisecond
	s.produce(b, c.task, warm, apart)
	b.await(s.name, warm)
	time.Sleep(time.Second)
	before := used(workers.pids, false)
	s.produce(b, c.task, count, apart)
	b.await(s.name, warm+count)
	after := used(workers.pids, false)
	var waits []float64
	for _, m := range b.mustHaveAll(s.name, warm+count)[warm:] {
		waits = append(waits, float64(m.beganNs-m.number)/1e6)
	}
	sort.Float64s(waits)
	return metrics{"p50_ms": quantile(waits, 0.5), "p99_ms": quantile(waits, 0.99),
		"cpu_us": float64((after.cpu - before.cpu).Microseconds()) / float64(count)}
}

func quantile(sorted []float64, q float64) float64 {
	return sorted[min(len(sorted)-1, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func measureCase(l language, c benchCase) *measured.Outcome {
	o := &measured.Outcome{Name: l.name + "_" + c.name, Text: c.text, Sides: map[string][]metrics{}}
	for round := range *rounds {
		for i := range l.sides {
			s := l.sides[(i+round)%len(l.sides)]
			fmt.Fprintf(os.Stderr, "\r\033[K%s: round %d of %d, %s", o.Name, round+1, *rounds, s.name)
			o.Sides[s.name] = append(o.Sides[s.name], c.measure(s, c, c.tasks(l.name, s)))
		}
	}
	fmt.Fprint(os.Stderr, "\r\033[K")
	for _, s := range l.sides[1:] {
		for _, r := range c.ratios {
			o.MustHave(r.metric)
			o.Ratios = append(o.Ratios, o.Compare(fmt.Sprintf("%s_%s_%s", o.Name, r.name, s.name), "asynqd", s.name, r.metric, r.isCost))
		}
	}
	return o
}

func describe(o *measured.Outcome, l language, c benchCase) {
	fmt.Printf("%s: %s\n", o.Name, o.Text)
	for _, s := range l.sides {
		fmt.Printf("    %-9s", s.name)
		for _, metric := range c.shows {
			value, precision := o.Median(s.name, metric), 0
			if value < 100 {
				precision = 2
			}
			fmt.Printf("  %s %.*f", titles[metric], precision, value)
		}
		fmt.Println()
	}
	for _, r := range o.Ratios {
		fmt.Printf("    %s %.1fx (%.1f to %.1f)\n", r.Name, r.Value, r.Min, r.Max)
	}
}

// chosen are the languages with their sides; with -own, only ours.
func chosen() []language {
	all := languages()
	for i := range all {
		if *own {
			all[i].sides = all[i].sides[:1]
		}
	}
	return all
}

func machine() string {
	model, load := "unknown processor", "?"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if found := regexp.MustCompile(`model name\s*: (.*)`).FindStringSubmatch(string(text)); found != nil {
			model = found[1]
		}
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ = strings.Cut(string(text), " ")
	}
	return fmt.Sprintf("%d processors (%s), load %s before", runtime.NumCPU(), model, load)
}

func writeJSON(file, machine string, all []*measured.Outcome) {
	text, err := json.MarshalIndent(map[string]any{"machine": machine, "command": strings.Join(os.Args[1:], " "),
		"date": time.Now().UTC().Format(time.DateOnly), "cases": all}, "", "  ")
	check(err)
	check(os.WriteFile(file, append(text, '\n'), 0o644))
}

func main() {
	runtime.LockOSThread() // see endsWithUs
	flag.Parse()
	if *quick {
		*rounds = 1
		*scale *= 0.25
	}
	pattern, err := regexp.Compile(*only)
	check(err)
	where := machine()
	if !*list {
		fmt.Println(where)
	}
	var all []*measured.Outcome
	found := false
	for _, l := range chosen() {
		for _, c := range cases {
			name := l.name + "_" + c.name
			if !pattern.MatchString(name) {
				continue
			}
			found = true
			if *list {
				fmt.Printf("%-15s %s\n", name, c.text)
				continue
			}
			o := measureCase(l, c)
			describe(o, l, c)
			all = append(all, o)
		}
	}
	if !found {
		log.Fatalf("no case matches %q", *only)
	}
	for _, o := range all {
		for _, r := range o.Ratios {
			fmt.Printf("ratio %s %.2f\n", r.Name, r.Value)
		}
	}
	if *jsonFile != "" && !*list {
		writeJSON(*jsonFile, where, all)
	}
}
