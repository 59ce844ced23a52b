package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/libasynq-tests/measured"
)

const processes = 2 // of each side, beside its master where it has one

// bench is one run of one side: a Redis and a directory of its own.
type bench struct {
	redis   *measured.Redis
	dir     string
	marks   string   // the file that tasks write to
	log     *os.File // what programs say
	ended   atomic.Pointer[exec.Cmd]
	threads string // of each process, for those that have threads
}

// side is a system that is measured: the programs that work, and how tasks get to it.
type side struct {
	name, version string
	isOurs        bool
	workers       func(b *bench) []*exec.Cmd
	produce       func(b *bench, task string, count int, pause time.Duration) // pause 0: as fast as it can
	tasks         int                                                         // no-ops for a run of a few seconds
}

func peerFile(name string) string { return filepath.Join(*root, "bench/peers", name) }
func python() string              { return filepath.Join(*peers, "venv/bin/python") }

// command is a program of bench/peers with what all of them need to know.
func (b *bench) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = peerFile("")
	cmd.Env = append(os.Environ(), "BENCH_REDIS="+b.redis.URI(), "BENCH_MARKS="+b.marks, "PYTHONDONTWRITEBYTECODE=1",
		"BENCH_THREADS="+b.threads, "BENCH_MODULES="+filepath.Join(*peers, "node"))
	cmd.Stdout, cmd.Stderr = b.log, b.log
	cmd.SysProcAttr = endsWithUs
	return cmd
}

// ofPeer has a program of bench/peers send the tasks, with its own client.
func ofPeer(program ...string) func(*bench, string, int, time.Duration) {
	return func(b *bench, task string, count int, pause time.Duration) {
		args := append(program[1:len(program):len(program)], task, strconv.Itoa(count), fmt.Sprint(pause.Seconds()*1000))
		if err := b.command(program[0], args...).Run(); err != nil {
			b.giveUp("%s: %v", strings.Join(program, " "), err)
		}
	}
}

// ofAsynq sends with Go's client, one task after the other, or from 16 goroutines for a backlog.
func ofAsynq(b *bench, task string, count int, pause time.Duration) {
	client := asynq.NewClient(asynq.RedisClientOpt{Addr: b.redis.Address})
	defer client.Close()
	send := func(number int64) {
		_, err := client.EnqueueContext(context.Background(), asynq.NewTask(task, []byte(strconv.FormatInt(number, 10))))
		check(err)
	}
	if pause > 0 {
		for range count {
			time.Sleep(time.Duration(float64(pause) * (0.5 + rand.Float64())))
			send(time.Now().UnixNano())
		}
		return
	}
	const callers = 16
	done := make(chan bool)
	for caller := range callers {
		go func() {
			for i := caller; i < count; i += callers {
				send(int64(i))
			}
			done <- true
		}()
	}
	for range callers {
		<-done
	}
}

// asynqd runs a pool with the given program. Its concurrency, 50 if it is not given, must not be less than what the processes
// have room for, 64 in Node, and those that are on their way to them: the others have no such limit above their processes.
func asynqd(argv string) func(b *bench) []*exec.Cmd {
	return func(b *bench) []*exec.Cmd {
		file := filepath.Join(b.dir, "asynqd.yaml")
		text := fmt.Sprintf("redis: %s\nconcurrency: 500\nendpoints: {listen: ''}\nlog: {level: error}\nroutes:\n- {type: noop, worker: pool}\n- {type: sleep, worker: pool}\n"+
			"workers:\n  pool: {argv: [%s], size: %d, process: {pass_env: [PATH, BENCH_MARKS, BENCH_REDIS, BENCH_THREADS]}}\n", b.redis.URI(), argv, processes)
		check(os.WriteFile(file, []byte(text), 0o600))
		return []*exec.Cmd{b.command(*daemon, "--config", file)}
	}
}

func twice(make func() *exec.Cmd) (cmds []*exec.Cmd) {
	for range processes {
		cmds = append(cmds, make())
	}
	return cmds
}

// language is a group of sides: ours first, beside others that do the same.
type language struct {
	name  string
	sides []side
}

func languages() []language {
	count := strconv.Itoa(processes)
	return []language{
		{"python", []side{
			{name: "asynqd", isOurs: true, tasks: 60000, workers: asynqd(*ourPython + ", " + peerFile("asynq_app.py")), produce: ofAsynq},
			{name: "celery", tasks: 4000, produce: ofPeer(python(), "celery_app.py"),
				workers: func(b *bench) []*exec.Cmd {
					return []*exec.Cmd{b.command(python(), "-m", "celery", "-A", "celery_app", "worker", "--pool", "prefork",
						"--concurrency", count, "--loglevel", "ERROR")}
				}},
			{name: "dramatiq", tasks: 8000, produce: ofPeer(python(), "dramatiq_app.py"),
				workers: func(b *bench) []*exec.Cmd {
					return []*exec.Cmd{b.command(python(), "-m", "dramatiq", "dramatiq_app", "--processes", count, "--threads", b.threads)}
				}},
			{name: "rq", tasks: 1200, produce: ofPeer(python(), "rq_app.py"),
				workers: func(b *bench) []*exec.Cmd {
					return twice(func() *exec.Cmd {
						return b.command(filepath.Join(*peers, "venv/bin/rq"), "worker", "--url", b.redis.URI(), "--logging_level", "ERROR")
					})
				}},
		}},
		{"node", []side{
			{name: "asynqd", isOurs: true, tasks: 120000, workers: asynqd("node, " + peerFile("asynq_app.js")), produce: ofAsynq},
			{name: "bullmq", tasks: 80000, produce: ofPeer("node", peerFile("bullmq_app.js")),
				workers: func(b *bench) []*exec.Cmd {
					return twice(func() *exec.Cmd { return b.command("node", peerFile("bullmq_app.js")) })
				}},
		}},
	}
}
