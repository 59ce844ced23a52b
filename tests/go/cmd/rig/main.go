// Rig is the twin of bench/rig.c with Go's library: one side of a measurement, driven by bench/compare through lines
// on standard input and output. It takes the same settings and prints the same lines.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"math/rand"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
)

var settings = map[string]string{
	"role": "work", "redis": "redis://127.0.0.1:6379", "queues": "default:1", "payload": "200", "concurrency": "10",
	"callers": "16", "servers": "1", "deed": "n", "mode": "one",
}

func number(name string) int {
	n, _ := strconv.Atoi(settings[name])
	return n
}

func cpuUs() int64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Utime.Nano()/1000 + usage.Stime.Nano()/1000
}

func main() {
	log.SetFlags(0)
	for _, argument := range os.Args[1:] {
		name, value, _ := strings.Cut(argument, "=")
		settings[name] = value
	}
	if settings["role"] == "work" {
		work()
	} else {
		enqueue()
	}
}

func redisOptions() asynq.RedisClientOpt {
	if path, ok := strings.CutPrefix(settings["redis"], "unix://"); ok {
		return asynq.RedisClientOpt{Network: "unix", Addr: path}
	}
	return asynq.RedisClientOpt{Addr: strings.TrimPrefix(settings["redis"], "redis://")}
}

func queues() map[string]int {
	list := map[string]int{}
	for _, queue := range strings.Split(settings["queues"], ",") {
		name, priority, _ := strings.Cut(queue, ":")
		list[name], _ = strconv.Atoi(priority)
	}
	return list
}

// ---- worker ----

var (
	tasks, held   int
	runs          []atomic.Uint32
	delays        []int64 // ns, of each task's first run
	distinct      atomic.Int64
	heldNow       atomic.Int64
	first         atomic.Int64
	release       = make(chan bool)
	randomMs      int
	errFailedOnce = errors.New("failed as told")
)

func countRun(number int, base int64) {
	now := time.Now().UnixNano()
	if runs[number].Add(1) > 1 {
		return
	}
	delays[number] = now - base
	if number >= tasks {
		return
	}
	first.CompareAndSwap(0, now)
	if distinct.Add(1) == int64(tasks) {
		fmt.Println("done", first.Load(), now, cpuUs())
	}
}

func handle(ctx context.Context, task *asynq.Task) error {
	payload := task.Payload()
	number := int(binary.LittleEndian.Uint32(payload))
	base := int64(binary.LittleEndian.Uint64(payload[4:]))
	switch payload[12] {
	case 'f':
		if retried, _ := asynq.GetRetryCount(ctx); retried == 0 {
			return errFailedOnce
		}
	case 'h':
		countRun(number, base)
		if heldNow.Add(1) == int64(held) {
			fmt.Println("held")
		}
		<-release
		return nil
	case 'r':
		countRun(number, base)
		time.Sleep(time.Duration(rand.Intn(randomMs+1)) * time.Millisecond)
		return nil
	}
	countRun(number, base)
	return nil
}

func work() {
	tasks, held, randomMs = number("tasks"), number("held"), number("random_ms")
	runs = make([]atomic.Uint32, tasks+held)
	delays = make([]int64, tasks+held)
	fmt.Println("ready", cpuUs())
	var servers []*asynq.Server
	for range number("servers") {
		server := asynq.NewServer(redisOptions(), asynq.Config{
			Concurrency: number("concurrency"),
			Queues:      queues(),
			LogLevel:    asynq.FatalLevel,
			RetryDelayFunc: func(int, error, *asynq.Task) time.Duration {
				return time.Duration(number("retry_ms")) * time.Millisecond
			},
		})
		if err := server.Start(asynq.HandlerFunc(handle)); err != nil {
			log.Fatal(err)
		}
		servers = append(servers, server)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() && lines.Text() != "end" {
		switch lines.Text() {
		case "release":
			close(release)
		case "cpu":
			fmt.Println("cpu", cpuUs())
		}
	}
	for _, server := range servers {
		server.Stop()
	}
	for _, server := range servers {
		server.Shutdown()
	}
	report()
}

func report() {
	missing, repeated := 0, 0
	for i := range runs {
		switch runs[i].Load() {
		case 0:
			missing++
		case 1:
		default:
			repeated++
		}
	}
	list := delays[:tasks]
	sort.Slice(list, func(i, j int) bool { return list[i] < list[j] })
	us := func(share float64) float64 {
		if tasks == 0 {
			return 0
		}
		return float64(list[int(share*float64(tasks-1))]) / 1000
	}
	fmt.Printf("result missing=%d repeated=%d p50_us=%.1f p99_us=%.1f max_us=%.1f\n", missing, repeated, us(0.5), us(0.99), us(1))
}

// ---- producer ----

func payloadOf(task int, base int64) []byte {
	payload := make([]byte, max(13, number("payload")))
	binary.LittleEndian.PutUint32(payload, uint32(task))
	binary.LittleEndian.PutUint64(payload[4:], uint64(base))
	payload[12] = settings["deed"][0]
	return payload
}

// enqueue creates tasks from several goroutines: as fast as they can, or at "rate" per second.
func enqueue() {
	client := asynq.NewClient(redisOptions())
	defer client.Close()
	if err := client.Ping(); err != nil {
		log.Fatal(err)
	}
	var names []string
	for name := range queues() {
		names = append(names, name)
	}
	sort.Strings(names)
	count, rate, firstTask := number("tasks"), number("rate"), number("first")
	fmt.Println("ready", cpuUs())
	bufio.NewReader(os.Stdin).ReadString('\n')
	begin := time.Now()
	var next atomic.Int64
	var group sync.WaitGroup
	for range number("callers") {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				i := int(next.Add(1)) - 1
				if i >= count {
					return
				}
				if rate > 0 {
					time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(rate))))
				}
				options := []asynq.Option{asynq.Queue(names[i%len(names)])}
				if unique := number("unique_s"); unique > 0 {
					options = append(options, asynq.Unique(time.Duration(unique)*time.Second))
				}
				if _, err := client.Enqueue(asynq.NewTask("bench", payloadOf(firstTask+i, time.Now().UnixNano())), options...); err != nil {
					log.Fatal(err)
				}
			}
		}()
	}
	group.Wait()
	fmt.Println("done", begin.UnixNano(), time.Now().UnixNano(), cpuUs())
}
