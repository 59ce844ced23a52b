// Httpcompare measures asynqd beside a Go Asynq worker that makes the same HTTP calls with net/http: on one Redis each, against
// one target server, in turns. It prints a table of medians and ratios. See bench/http.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

var (
	asynqd   = flag.String("asynqd", "", "the daemon to measure")
	rounds   = flag.Int("rounds", 3, "rounds; each side runs once in each")
	inFlight = flag.Int("in-flight", 2000, "calls of 5 s at the same time")
	short    = flag.Int("short", 20000, "short calls")
	role     = flag.String("role", "", "for our own processes: worker or target")
	socket   = flag.String("socket", "", "for the worker: Redis")
	url      = flag.String("url", "", "for the worker: the target")
	slots    = flag.Int("concurrency", 0, "for the worker")
)

// ---- our own processes ----

// work is a Go Asynq worker as one would write it.
func work() {
	client := &http.Client{Timeout: 90 * time.Second,
		Transport: &http.Transport{MaxIdleConns: 4096, MaxIdleConnsPerHost: 4096, IdleConnTimeout: 90 * time.Second}}
	server := asynq.NewServer(asynq.RedisClientOpt{Network: "unix", Addr: *socket},
		asynq.Config{Concurrency: *slots, LogLevel: asynq.FatalLevel})
	handle := func(ctx context.Context, task *asynq.Task) error {
		request, err := http.NewRequestWithContext(ctx, "POST", *url+"/"+task.Type(), bytes.NewReader(task.Payload()))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(io.LimitReader(answer.Body, 64000))
		if err != nil {
			return err
		}
		if answer.StatusCode >= 300 {
			return fmt.Errorf("status %d", answer.StatusCode)
		}
		_, err = task.ResultWriter().Write(body)
		return err
	}
	if err := server.Run(asynq.HandlerFunc(handle)); err != nil {
		log.Fatal(err)
	}
}

// serve is the target: /fast answers at once, /slow after 5 s; /count tells how many have been answered and are waiting.
func serve() {
	var answered, waiting atomic.Int64
	http.HandleFunc("/fast", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		answered.Add(1)
		w.Write([]byte(`{"ok":true}`))
	})
	http.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		waiting.Add(1)
		time.Sleep(5 * time.Second)
		waiting.Add(-1)
		answered.Add(1)
		w.Write([]byte(`{"ok":true}`))
	})
	http.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, answered.Load(), " ", waiting.Load())
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("http://" + listener.Addr().String())
	log.Fatal(http.Serve(listener, nil))
}

// ---- measuring ----

// usage is what a process has used: seconds of CPU, and its memory now.
func usage(pid int) (cpu float64, rss int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		log.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	pages, _ := strconv.ParseInt(fields[21], 10, 64)
	return (user + system) / 100, pages * int64(os.Getpagesize())
}

type side struct {
	name  string
	start func(socket, url string, concurrency int, dir string) *exec.Cmd
}

var sides = []side{
	{"asynqd", func(socket, url string, concurrency int, dir string) *exec.Cmd {
		file := filepath.Join(dir, "asynqd.yaml")
		text := fmt.Sprintf("redis: unix://%s\nconcurrency: %d\nendpoints: {listen: ''}\nlog: {level: error}\nroutes:\n"+
			"- {type: fast, http: {url: '%s/fast'}}\n- {type: slow, http: {url: '%s/slow'}}\n", socket, concurrency, url, url)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			log.Fatal(err)
		}
		return exec.Command(*asynqd, "--config", file)
	}},
	{"go", func(socket, url string, concurrency int, _ string) *exec.Cmd {
		return exec.Command(os.Args[0], "-role", "worker", "-socket", socket, "-url", url, "-concurrency", strconv.Itoa(concurrency))
	}},
}

type result struct {
	seconds, cpu float64
	rss          int64
	calls        int
}

func count(url string) (answered, waiting int) {
	answer, err := http.Get(url + "/count")
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	fmt.Fscan(answer.Body, &answered, &waiting)
	return answered, waiting
}

// run has one side make n calls of a type, and checks that each was made once and that its task is done.
func run(s side, taskType string, n, concurrency int, url string) result {
	dir, err := os.MkdirTemp("", "asynqd-http-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	redisSocket := filepath.Join(dir, "s")
	server := exec.Command("redis-server", "--port", "0", "--unixsocket", redisSocket, "--save", "", "--dir", dir)
	must(server.Start())
	defer func() { server.Process.Kill(); server.Wait() }()
	store := redis.NewClient(&redis.Options{Network: "unix", Addr: redisSocket})
	defer store.Close()
	for store.Ping(context.Background()).Err() != nil {
		time.Sleep(10 * time.Millisecond)
	}
	client := asynq.NewClient(asynq.RedisClientOpt{Network: "unix", Addr: redisSocket})
	for i := range n {
		_, err := client.Enqueue(asynq.NewTask(taskType, []byte(fmt.Sprintf(`{"n":%d}`, i))), asynq.MaxRetry(0), asynq.Timeout(80*time.Second))
		must(err)
	}
	client.Close()
	before, _ := count(url)
	worker := s.start(redisSocket, url, concurrency, dir)
	worker.Stderr = os.Stderr
	must(worker.Start())
	defer func() { worker.Process.Kill(); worker.Wait() }()
	made := result{calls: n}
	begin := time.Now()
	for {
		answered, _ := count(url)
		if _, rss := usage(worker.Process.Pid); rss > made.rss {
			made.rss = rss
		}
		if answered-before >= n {
			break
		}
		if time.Since(begin) > 5*time.Minute {
			log.Fatalf("%s: %d of %d calls after 5 minutes", s.name, answered-before, n)
		}
		time.Sleep(20 * time.Millisecond)
	}
	made.seconds = time.Since(begin).Seconds()
	made.cpu, _ = usage(worker.Process.Pid)
	for range 500 {
		left := store.LLen(context.Background(), "asynq:{default}:active").Val() + store.LLen(context.Background(), "asynq:{default}:pending").Val()
		if left == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	answered, _ := count(url)
	archived := store.ZCard(context.Background(), "asynq:{default}:archived").Val()
	active := store.LLen(context.Background(), "asynq:{default}:active").Val()
	if answered-before != n || archived != 0 || active != 0 {
		log.Fatalf("%s: %d calls for %d tasks, %d archived, %d active", s.name, answered-before, n, archived, active)
	}
	return made
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func median(values []float64) float64 {
	sort.Float64s(values)
	return values[len(values)/2]
}

type measure struct {
	name, unit string
	of         func(result) float64
	more       bool // is better
}

func compare(title, taskType string, n, concurrency int, url string, measures []measure) {
	results := map[string][]result{}
	for range *rounds {
		for _, s := range sides {
			results[s.name] = append(results[s.name], run(s, taskType, n, concurrency, url))
		}
	}
	fmt.Printf("\n%s\n  %-34s %12s %12s %8s\n", title, "", "asynqd", "Go", "times")
	for _, m := range measures {
		var medians [2]float64
		for i, s := range sides {
			var values []float64
			for _, r := range results[s.name] {
				values = append(values, m.of(r))
			}
			medians[i] = median(values)
		}
		ratio := medians[1] / medians[0]
		if m.more {
			ratio = 1 / ratio
		}
		fmt.Printf("  %-34s %12.4g %12.4g %8.2f\n", m.name+", "+m.unit, medians[0], medians[1], ratio)
	}
}

func main() {
	flag.Parse()
	switch *role {
	case "worker":
		work()
	case "target":
		serve()
	}
	target := exec.Command(os.Args[0], "-role", "target")
	out, err := target.StdoutPipe()
	must(err)
	must(target.Start())
	defer func() { target.Process.Kill(); target.Wait() }()
	var at string
	fmt.Fscan(out, &at)
	cpu := measure{"CPU of the worker", "s", func(r result) float64 { return r.cpu }, false}
	memory := measure{"memory of the worker, at most", "MB", func(r result) float64 { return float64(r.rss) / 1e6 }, false}
	compare(fmt.Sprintf("%d calls of 5 s, all in flight", *inFlight), "slow", *inFlight, *inFlight, at, []measure{
		{"from start to the last answer", "s", func(r result) float64 { return r.seconds }, false}, cpu, memory})
	for _, concurrency := range []int{10, 100, 1000} {
		compare(fmt.Sprintf("%d short calls, concurrency %d", *short, concurrency), "fast", *short, concurrency, at, []measure{
			{"calls", "per s", func(r result) float64 { return float64(r.calls) / r.seconds }, true},
			{"CPU of the worker per call", "us", func(r result) float64 { return r.cpu / float64(r.calls) * 1e6 }, false}, memory})
	}
}
