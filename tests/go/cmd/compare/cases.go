package main

import (
	"context"
	"fmt"
	"log"
	"math"
	"strings"
	"time"

	"github.com/hibiken/asynq/libasynq-tests/measured"
)

type metrics = measured.Metrics

// ratio is a line of the result: how much better ours is in one metric.
type ratio struct {
	name, metric string
	isCost       bool // smaller is better
}

// benchCase is one comparison.
type benchCase struct {
	name, text string
	quick      bool     // also part of --quick
	once       bool     // takes long: one round only
	sides      []string // other than "go" and "c"
	run        func(b *bench, side string) metrics
	ratios     []ratio
}

// pair lists the two sides, first the one that ours is compared with.
func (c *benchCase) pair() []string {
	if c.sides == nil {
		return []string{"go", "c"}
	}
	return c.sides
}

// load is work for a worker: how the tasks are made and how they are run.
type load struct {
	worker, tasks settings
	goTasks, c    int // how many; Go's side gets fewer, so that both take about as long
	dueIn         time.Duration
	latencyMs     float64
}

func merge(parts ...settings) settings {
	all := settings{}
	for _, part := range parts {
		for name, value := range part {
			all[name] = value
		}
	}
	return all
}

// fill creates tasks with our batch call, for both sides: it is the fastest, and the bytes are the same as Go's.
func (b *bench) fill(with settings) {
	p := start("c", b.uri, merge(settings{"role": "enqueue", "mode": "batch", "payload": *payload}, with))
	p.hear("ready")
	p.say("go")
	p.hear("done")
	p.wait()
}

// work has one side run tasks that wait already, and returns rate and costs.
func (b *bench) work(side string, l load) metrics {
	count := b.count(side, l.goTasks, l.c)
	b.redis.flush()
	uri := b.uri
	if ms := max(l.latencyMs, *latency); ms > 0 {
		slow := startDelay(b.redis.Address, ms)
		defer slow.Close()
		uri = "redis://" + slow.Addr().String()
	}
	with := merge(settings{"tasks": count}, l.worker)
	if *concurrency > 0 {
		with["concurrency"] = *concurrency
	}
	tasks := merge(settings{"tasks": count, "queues": orDefault(with["queues"])}, l.tasks)
	if l.dueIn > 0 {
		tasks["due_ms"] = time.Now().Add(l.dueIn).Unix() * 1000
	}
	b.fill(tasks)
	cpuBefore := b.redis.cpuUs()
	worker := start(side, uri, with)
	workerBefore := worker.hear("ready")[0]
	m := b.measure(worker, count, cpuBefore, workerBefore)
	b.finish(worker, m, count, 0)
	return m
}

func (b *bench) measure(worker *process, count int, redisBefore, workerBefore float64) metrics {
	done := worker.hear("done")
	return metrics{
		"rate":      float64(count) / (done[1] - done[0]) * 1e9,
		"redis_us":  (b.redis.cpuUs() - redisBefore) / float64(count),
		"worker_us": (done[2] - workerBefore) / float64(count),
		"memory_kb": worker.memoryKb(),
	}
}

// workBesideHeld has one side run short tasks while others stay active: all of those, or with less than a tenth of the
// tasks, ten times that share.
func (b *bench) workBesideHeld(side string, held, goTasks, c int) metrics {
	count := b.count(side, goTasks, c)
	held = int(math.Ceil(float64(held) * min(1, 10**scale)))
	b.redis.flush()
	worker := start(side, b.uri, settings{"tasks": count, "held": held, "concurrency": held + 100})
	worker.hear("ready")
	time.Sleep(time.Second)
	memory := worker.memoryKb()
	if held > 0 {
		b.fill(settings{"tasks": held, "first": count, "deed": "h"})
		worker.hear("held")
	}
	memory = worker.memoryKb() - memory
	b.redis.do("SET", "asynq:{default}:paused", 1)
	time.Sleep(1500 * time.Millisecond)
	b.fill(settings{"tasks": count})
	worker.say("cpu")
	workerBefore, redisBefore := worker.hear("cpu")[0], b.redis.cpuUs()
	b.redis.do("DEL", "asynq:{default}:paused")
	m := b.measure(worker, count, redisBefore, workerBefore)
	if held > 0 {
		m["memory_kb_per_1000"] = memory * 1000 / float64(held)
	}
	b.finish(worker, m, count, held)
	return m
}

// lateness enqueues tasks for ten coming seconds and returns how long after their second they started.
func (b *bench) lateness(side string) metrics {
	const perSecond, count = 10, 100
	b.redis.flush()
	worker := start(side, b.uri, settings{"tasks": count})
	worker.hear("ready")
	b.fill(settings{"tasks": count, "due_ms": time.Now().Add(3*time.Second).Unix() * 1000, "due_each": perSecond})
	worker.hear("done")
	m := metrics{}
	b.finish(worker, m, count, 0)
	return m
}

func orDefault(queues any) any {
	if queues == nil {
		return "default:1"
	}
	return queues
}

// finish ends a worker and proves that each task ran once and that Redis holds none any more.
func (b *bench) finish(worker *process, m metrics, count, held int) {
	worker.say("release")
	var left []string
	for end := time.Now().Add(*patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if left = b.tasksLeft(); len(left) == 0 {
			break
		}
	}
	worker.say("end")
	worker.hear("result")
	values := worker.values
	worker.wait()
	if values["missing"] != 0 || values["repeated"] != 0 || len(left) > 0 {
		log.Fatalf("%s: of %d tasks %v did not run, %v ran more than once; left in Redis: %v", worker.name, count+held,
			values["missing"], values["repeated"], left)
	}
	m["p50_ms"], m["p99_ms"], m["max_ms"] = values["p50_us"]/1000, values["p99_us"]/1000, values["max_us"]/1000
}

// tasksLeft lists keys of tasks, or of places where tasks stand.
func (b *bench) tasksLeft() (left []string) {
	for _, node := range b.redis.nodes() {
		keys := node.Client.Scan(context.Background(), 0, "asynq:{*}:[tpalsr]*", 1000).Iterator()
		for keys.Next(context.Background()) && len(left) <= 10 {
			if isTaskKey(keys.Val()) {
				left = append(left, keys.Val())
			}
		}
		check(keys.Err())
	}
	return left
}

// waiting enqueues at a steady rate with Go's client, for both sides, and returns how long tasks waited.
func (b *bench) waiting(side string, count, rate int, with settings) metrics {
	b.redis.flush()
	worker := start(side, b.uri, merge(settings{"tasks": count, "concurrency": 10}, with))
	workerBefore := worker.hear("ready")[0]
	producer := start("go", b.uri, settings{"role": "enqueue", "tasks": count, "rate": rate, "callers": min(8, 1+rate/500),
		"payload": *payload, "queues": orDefault(with["queues"])})
	producer.hear("ready")
	time.Sleep(2500 * time.Millisecond) // both connected; the worker idle
	cpuBefore := b.redis.cpuUs()
	allBefore, fruitfulBefore := b.redis.leases(side)
	producer.say("go")
	producer.hear("done")
	producer.wait()
	done := worker.hear("done")
	all, fruitful := b.redis.leases(side)
	m := metrics{
		// For Go the fruitful ones, for ours the enqueues, are the tasks themselves.
		"empty_leases": (all-allBefore-fruitful+fruitfulBefore)/float64(count) - 1,
		"redis_us":     (b.redis.cpuUs() - cpuBefore) / float64(count),
		"worker_us":    (done[2] - workerBefore) / float64(count),
	}
	b.finish(worker, m, count, 0)
	return m
}

// idle leaves workers without any task and counts what they do all the same.
func (b *bench) idle(side string, workers int, queues string) metrics {
	b.redis.flush()
	var list []*process
	for range workers {
		list = append(list, start(side, b.uri, settings{"tasks": 0, "queues": queues, "handler": "thread"}))
	}
	for _, p := range list {
		p.hear("ready")
	}
	time.Sleep(3 * time.Second)
	cpu := func() (sum float64) {
		for _, p := range list {
			p.say("cpu")
			sum += p.hear("cpu")[0]
		}
		return sum
	}
	seconds := b.idleTime.Seconds()
	before, redisBefore := cpu(), b.redis.cpuUs()
	sent := b.redis.commandsSent(b.idleTime)
	m := metrics{"commands_per_s": sent / seconds, "redis_us_per_s": (b.redis.cpuUs() - redisBefore) / seconds}
	m["worker_us_per_s"] = (cpu() - before) / seconds / float64(workers)
	m["memory_kb"] = list[0].memoryKb()
	for _, p := range list {
		p.say("end")
		p.hear("result")
		p.wait()
	}
	return m
}

// enqueue has one side create tasks.
func (b *bench) enqueue(side string, goTasks, c int, with settings) metrics {
	b.redis.flush()
	count := b.count(side, goTasks, c)
	m := b.produce(side, count, with)
	b.mustWait(side, "default:1", count)
	return m
}

func (b *bench) produce(side string, count int, with settings) metrics {
	p := start(side, b.uri, merge(settings{"role": "enqueue", "tasks": count, "payload": *payload}, with))
	before := p.hear("ready")[0]
	cpuBefore := b.redis.cpuUs()
	p.say("go")
	done := p.hear("done")
	m := metrics{
		"rate":      float64(count) / (done[1] - done[0]) * 1e9,
		"redis_us":  (b.redis.cpuUs() - cpuBefore) / float64(count),
		"client_us": (done[2] - before) / float64(count),
	}
	p.wait()
	return m
}

// mustWait ends the program unless so many tasks are pending in these queues.
func (b *bench) mustWait(side, queues string, count int) {
	pending := 0
	for _, queue := range strings.Split(queues, ",") {
		name, _, _ := strings.Cut(queue, ":")
		for _, node := range b.redis.nodes() { // those of a cluster that do not have the queue answer with MOVED
			length, _ := node.Client.LLen(context.Background(), "asynq:{"+name+"}:pending").Result()
			pending += int(length)
		}
	}
	if pending != count {
		log.Fatalf("%s enqueued %d of %d tasks", side, pending, count)
	}
}

// both measures enqueueing and working at the same time: until the last task has run.
func (b *bench) both(side string, goTasks, c int) metrics {
	b.redis.flush()
	count := b.count(side, goTasks, c)
	mode := map[string]string{"go": "one", "c": "async"}[side]
	worker := start(side, b.uri, settings{"tasks": count, "concurrency": 100})
	worker.hear("ready")
	producer := start(side, b.uri, settings{"role": "enqueue", "mode": mode, "tasks": count, "payload": *payload})
	producer.hear("ready")
	time.Sleep(2 * time.Second)
	cpuBefore := b.redis.cpuUs()
	producer.say("go")
	begin := producer.hear("done")[0]
	done := worker.hear("done")
	m := metrics{
		"rate":     float64(count) / (done[1] - begin) * 1e9,
		"redis_us": (b.redis.cpuUs() - cpuBefore) / float64(count),
	}
	producer.wait()
	b.finish(worker, m, count, 0)
	return m
}

// startUp is the time from starting the program to its first task's handler.
func (b *bench) startUp(side string) metrics {
	b.redis.flush()
	b.fill(settings{"tasks": 1})
	begin := time.Now().UnixNano()
	worker := start(side, b.uri, settings{"tasks": 1})
	first := worker.hear("done")[0]
	m := metrics{"start_ms": (first - float64(begin)) / 1e6}
	b.finish(worker, m, 1, 0)
	return m
}

func manyQueues(count int) string {
	text := ""
	for i := range count {
		text += fmt.Sprintf("q%d:1,", i)
	}
	return text[:len(text)-1]
}

const threeQueues = "critical:6,default:3,low:1"

func workCase(name, text string, quick bool, l load, ratios ...ratio) benchCase {
	if ratios == nil {
		ratios = []ratio{{name, "rate", false}}
	}
	return benchCase{name, text, quick, false, nil, func(b *bench, side string) metrics { return b.work(side, l) }, ratios}
}

func waitCase(name, text string, quick bool, count, rate int, with settings, ratios ...ratio) benchCase {
	return benchCase{name, text, quick, false, nil, func(b *bench, side string) metrics {
		return b.waiting(side, b.count(side, count, count), rate, with)
	}, ratios}
}

var cases = []benchCase{
	{"enqueue_callers16", "enqueue one by one, 16 callers", true, false, nil, func(b *bench, side string) metrics {
		return b.enqueue(side, 100000, 100000, settings{"mode": "one"})
	}, []ratio{{"enqueue_callers16", "rate", false}, {"redis_cpu_enqueue_callers16", "redis_us", true}}},
	{"enqueue_batch", "enqueue batched (Go: 16 callers)", true, false, nil, func(b *bench, side string) metrics {
		return b.enqueue(side, 100000, 400000, settings{"mode": "batch"})
	}, []ratio{{"enqueue_batch", "rate", false}, {"redis_cpu_enqueue_batch", "redis_us", true}}},
	{"enqueue_async", "enqueue asynchronously from one thread (Go: 16 callers)", true, false, nil, func(b *bench, side string) metrics {
		return b.enqueue(side, 100000, 300000, settings{"mode": "async"})
	}, []ratio{{"enqueue_async", "rate", false}}},
	{"enqueue_unique", "enqueue unique tasks, 16 callers", false, false, nil, func(b *bench, side string) metrics {
		return b.enqueue(side, 60000, 60000, settings{"mode": "one", "unique_s": 3600})
	}, []ratio{{"enqueue_unique", "rate", false}}},

	workCase("work_c10", "work, concurrency 10, asynchronous handlers", true, load{worker: settings{"concurrency": 10}, goTasks: 20000, c: 120000}),
	workCase("work_c10_threads", "work, concurrency 10, worker threads", false,
		load{worker: settings{"concurrency": 10, "handler": "thread"}, goTasks: 20000, c: 80000}),
	workCase("work_c100_async", "work, concurrency 100, asynchronous handlers", true,
		load{worker: settings{"concurrency": 100}, goTasks: 20000, c: 200000},
		ratio{"work_c100_async", "rate", false}, ratio{"redis_cpu_work_c100", "redis_us", true},
		ratio{"worker_cpu_c100", "worker_us", true}, ratio{"rss_c100", "memory_kb", true}),
	workCase("work_c100_threads", "work, concurrency 100, worker threads", true,
		load{worker: settings{"concurrency": 100, "handler": "thread"}, goTasks: 20000, c: 120000}),
	workCase("work_c1000", "work, concurrency 1,000, asynchronous handlers", false,
		load{worker: settings{"concurrency": 1000}, goTasks: 20000, c: 200000}),
	workCase("work_c1000_threads", "work, concurrency 1,000, worker threads", false,
		load{worker: settings{"concurrency": 1000, "handler": "thread"}, goTasks: 20000, c: 120000}),
	{"both", "enqueue and work at once, concurrency 100", false, false, nil, func(b *bench, side string) metrics {
		return b.both(side, 20000, 150000)
	}, []ratio{{"both", "rate", false}}},
	workCase("queues3", "work, 3 weighted queues, concurrency 100", false,
		load{worker: settings{"concurrency": 100, "queues": threeQueues}, goTasks: 20000, c: 150000}),
	workCase("queues50", "work, 50 queues, concurrency 100", false,
		load{worker: settings{"concurrency": 100, "queues": manyQueues(50)}, goTasks: 20000, c: 100000}),
	workCase("servers8", "work, 8 servers of concurrency 100 each", false,
		load{worker: settings{"concurrency": 100, "servers": 8}, goTasks: 20000, c: 150000}),
	workCase("fail1", "work, 1 % fail once and are retried at once", false,
		load{worker: settings{"concurrency": 100}, tasks: settings{"fail_percent": 1}, goTasks: 50000, c: 150000}),
	workCase("unique", "work, unique tasks, concurrency 100", false,
		load{worker: settings{"concurrency": 100}, tasks: settings{"unique_s": 3600}, goTasks: 20000, c: 150000}),
	workCase("due100000", "100,000 scheduled tasks become due at once", false,
		load{worker: settings{"concurrency": 100}, goTasks: 100000, c: 100000, dueIn: 4 * time.Second}),
	{"limit", "share of the most that Redis can do, concurrency 1,000", false, false, []string{"limit", "c"},
		func(b *bench, side string) metrics {
			return b.work(side, load{worker: settings{"concurrency": 1000}, goTasks: 200000, c: 200000})
		}, []ratio{{"share_of_limit", "rate", false}}},
	{"active10000", "work beside 10,000 tasks that are held active", true, false, nil, func(b *bench, side string) metrics {
		return b.workBesideHeld(side, 10000, 4000, 150000)
	}, []ratio{{"active10000", "rate", false}, {"memory_in_flight", "memory_kb_per_1000", true}}},
	{"active10000_of_none", "work beside 10,000 tasks of ours that are held active, and beside none", true, false,
		[]string{"none", "c"}, func(b *bench, side string) metrics {
			return b.workBesideHeld(side, map[string]int{"none": 0, "c": 10000}[side], 0, 150000)
		}, []ratio{{"active10000_of_none_held", "rate", false}}},
	workCase("active2000_random", "2,000 active, each for up to 100 ms", false,
		load{worker: settings{"concurrency": 2000, "random_ms": 100}, tasks: settings{"deed": "r"}, goTasks: 30000, c: 100000}),
	workCase("active10000_random", "10,000 active, each for up to 400 ms", false,
		load{worker: settings{"concurrency": 10000, "random_ms": 400}, tasks: settings{"deed": "r"}, goTasks: 40000, c: 150000}),
	{"backlog", "work from a backlog of 1,000,000 tasks", false, true, nil, func(b *bench, side string) metrics {
		return b.work(side, load{worker: settings{"concurrency": 100}, goTasks: 1000000, c: 1000000})
	}, []ratio{{"backlog", "rate", false}}},
	workCase("payload20", "work, payloads of 20 bytes", false,
		load{worker: settings{"concurrency": 100}, tasks: settings{"payload": 20}, goTasks: 20000, c: 200000}),
	workCase("payload10k", "work, payloads of 10 kB", false,
		load{worker: settings{"concurrency": 100}, tasks: settings{"payload": 10000}, goTasks: 10000, c: 40000}),
	workCase("payload1M", "work, payloads of 1 MB", false,
		load{worker: settings{"concurrency": 100}, tasks: settings{"payload": 1000000}, goTasks: 500, c: 500}),
	workCase("work_1ms", "work, 1 ms of network latency, concurrency 100", true,
		load{worker: settings{"concurrency": 100}, goTasks: 1500, c: 60000, latencyMs: 1}),

	waitCase("pickup_idle", "a task now and then for an idle worker", false, 40, 4, nil,
		ratio{"pickup_idle_p50", "p50_ms", true}, ratio{"pickup_idle_p99", "p99_ms", true}),
	waitCase("pickup_100", "100 tasks per second for an idle worker", true, 1000, 100, nil,
		ratio{"pickup_100_p50", "p50_ms", true}, ratio{"pickup_100_p99", "p99_ms", true}),
	waitCase("pickup_load", "7,000 tasks per second: 70 % of what Go's worker can do", false, 35000, 7000, nil,
		ratio{"pickup_load_p50", "p50_ms", true}, ratio{"pickup_load_p99", "p99_ms", true}),
	waitCase("fleet64_100", "64 idle servers of 3 queues, 100 tasks per second", false, 1000, 100,
		settings{"servers": 64, "queues": threeQueues, "concurrency": 10},
		ratio{"fleet64_100_p99", "p99_ms", true}, ratio{"fleet64_100_redis_cpu", "redis_us", true}),
	waitCase("fleet64_1000", "64 idle servers of 3 queues, 1,000 tasks per second", false, 5000, 1000,
		settings{"servers": 64, "queues": threeQueues, "concurrency": 10},
		ratio{"fleet64_1000_p99", "p99_ms", true}, ratio{"fleet64_1000_redis_cpu", "redis_us", true}),
	{"fleet64_parked", "64 idle servers of ours, beside the same without parking", false, false, []string{"armed", "c"},
		func(b *bench, side string) metrics {
			with := settings{"servers": 64, "queues": threeQueues, "concurrency": 10}
			if side == "armed" {
				with["park_threshold"] = -1
			}
			return b.waiting(side, b.count(side, 1000, 1000), 100, with)
		}, []ratio{{"fleet64_parked_redis_cpu", "redis_us", true}, {"fleet64_parked_p99", "p99_ms", true}}},
	{"lateness", "scheduled tasks, one every 10 ms: how late they start", false, false, nil, func(b *bench, side string) metrics {
		return b.lateness(side)
	}, []ratio{{"lateness_p50", "p50_ms", true}, {"lateness_p99", "p99_ms", true}}},
	{"idle_3", "10 idle workers of 3 queues", false, false, nil, func(b *bench, side string) metrics {
		return b.idle(side, 10, threeQueues)
	}, []ratio{{"idle_commands", "commands_per_s", true}, {"idle_worker_cpu", "worker_us_per_s", true}}},
	{"idle_1", "10 idle workers of 1 queue", false, false, nil, func(b *bench, side string) metrics {
		return b.idle(side, 10, "default:1")
	}, []ratio{{"idle_commands_1", "commands_per_s", true}}},
	{"idle_50", "10 idle workers of 50 queues", false, false, nil, func(b *bench, side string) metrics {
		return b.idle(side, 10, manyQueues(50))
	}, []ratio{{"idle_commands_50", "commands_per_s", true}}},
	{"start", "from the program's start to the first task", true, false, nil, func(b *bench, side string) metrics {
		return b.startUp(side)
	}, []ratio{{"start", "start_ms", true}}},
}
