// Queues measures a server of ours that serves the queues of a pattern, for several numbers of them, in one run. It is
// started by bench/queues.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hibiken/asynq/internal/base"
	"github.com/hibiken/asynq/libasynq-tests/measured"
	"github.com/redis/go-redis/v9"
)

const (
	payloadSize = 200
	settle      = 12 * time.Second // after which an idle server is idle
)

var (
	tasks   = flag.Int("tasks", 200000, "tasks to be worked off")
	counts  = flag.String("queues", "1,10,100,10000", "numbers of queues")
	seconds = flag.Int("seconds", 20, "to watch an idle server")
	servers = flag.Int("servers", 64, "servers of a fleet, of which one queue of the most gets a task now and then; 0: none")
	picks   = flag.Int("picks", 2000, "tasks that are put into idle queues, one by one")
	ctx     = context.Background()
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// store is a Redis of its own. A client that waits longer: pipelines of thousands of commands take a while on a busy machine.
type store struct {
	*redis.Client
	server *measured.Redis
}

func startStore() *store {
	server := measured.StartRedis(&syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL})
	return &store{redis.NewClient(&redis.Options{Addr: server.Address, ReadTimeout: time.Minute}), server}
}

func (s *store) end() {
	s.Close()
	s.server.Stop()
}

// number is a field of INFO; those with a point are cut.
func (s *store) number(section, field string) float64 {
	text, err := s.Info(ctx, section).Result()
	check(err)
	found := regexp.MustCompile(`(?m)^` + field + `:([0-9.]+)`).FindStringSubmatch(text)
	if found == nil {
		log.Fatalf("INFO %s has no %s", section, field)
	}
	value, err := strconv.ParseFloat(found[1], 64)
	check(err)
	return value
}

func (s *store) cpu() float64 { return s.server.CPUUs() / 1e6 }

func queueName(n int) string { return fmt.Sprintf("q-tenant-%d", n) }

// register makes all queues known without a task.
func (s *store) register(queues int) {
	pipe := s.Pipeline()
	for n := range queues {
		pipe.SAdd(ctx, "asynq:queues", queueName(n))
	}
	_, err := pipe.Exec(ctx)
	check(err)
}

// put adds a task as Go's client does. Its delay counts from now.
func put(pipe redis.Pipeliner, number, queue int) {
	payload := make([]byte, payloadSize)
	binary.LittleEndian.PutUint32(payload, uint32(number))
	binary.LittleEndian.PutUint64(payload[4:], uint64(time.Now().UnixNano()))
	payload[12] = 'n'
	name, id := queueName(queue), fmt.Sprintf("%036d", number)
	encoded, err := base.EncodeMessage(&base.TaskMessage{Type: "bench", ID: id, Queue: name, Payload: payload, Retry: 25,
		Timeout: 1800})
	check(err)
	pipe.HSet(ctx, "asynq:{"+name+"}:t:"+id, "msg", encoded, "state", "pending", "pending_since", time.Now().UnixNano())
	pipe.LPush(ctx, "asynq:{"+name+"}:pending", id)
}

// rig is the server, see bench/rig_work.c.
type rig struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startRig(s *store, tasks int, more ...string) *rig {
	r := &rig{cmd: exec.Command(os.Getenv("ASYNQ_RIG"), append([]string{"role=work", "redis=redis://" + s.Options().Addr,
		"queues=q-*:1", fmt.Sprintf("tasks=%d", tasks), "concurrency=64"}, more...)...)}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r.cmd.Stderr = os.Stderr
	var err error
	r.in, err = r.cmd.StdinPipe()
	check(err)
	out, err := r.cmd.StdoutPipe()
	check(err)
	check(r.cmd.Start())
	r.out = bufio.NewScanner(out)
	r.hear("ready")
	return r
}

// hear returns the words behind the first of the next line.
func (r *rig) hear(want string) []string {
	if !r.out.Scan() {
		log.Fatalf("the rig has ended instead of saying %q", want)
	}
	words := strings.Fields(r.out.Text())
	if words[0] != want {
		log.Fatalf("the rig says %q instead of %q", r.out.Text(), want)
	}
	return words[1:]
}

func (r *rig) say(line string) {
	_, err := fmt.Fprintln(r.in, line)
	check(err)
}

func number(text string) float64 {
	value, err := strconv.ParseFloat(text, 64)
	check(err)
	return value
}

func (r *rig) cpuSeconds() float64 {
	r.say("cpu")
	return number(r.hear("cpu")[0]) / 1e6
}

func (r *rig) residentKB() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	check(err)
	return number(regexp.MustCompile(`VmRSS:\s*(\d+) kB`).FindStringSubmatch(string(text))[1])
}

// end returns what it tells of the runs.
func (r *rig) end() map[string]float64 {
	r.say("end")
	result := map[string]float64{}
	for _, word := range r.hear("result") {
		name, value, _ := strings.Cut(word, "=")
		result[name] = number(value)
	}
	check(r.cmd.Wait())
	if result["missing"]+result["repeated"] > 0 {
		log.Fatalf("%v tasks did not run, %v ran twice", result["missing"], result["repeated"])
	}
	return result
}

// figures are what is measured for a number of queues.
type figures struct {
	queues                                       int
	perSecond, redisUsPerTask, rigUsPerTask      float64
	idleCommands, idleRedisPermil, idleRigPermil float64
	residentKB, redisMB                          float64
	p50Us, p99Us                                 float64
}

// workOff has all tasks, spread evenly, worked off; the time is from the first that runs to the last.
func (f *figures) workOff() {
	s := startStore()
	defer s.end()
	s.register(f.queues)
	for n := 0; n < *tasks; {
		pipe := s.Pipeline()
		for end := min(n+5000, *tasks); n < end; n++ {
			put(pipe, n, n%f.queues)
		}
		_, err := pipe.Exec(ctx)
		check(err)
	}
	before := s.cpu()
	r := startRig(s, *tasks)
	done := r.hear("done")
	f.perSecond = float64(*tasks) / (number(done[1]) - number(done[0])) * 1e9
	f.rigUsPerTask = number(done[2]) / float64(*tasks)
	f.redisUsPerTask = (s.cpu() - before) * 1e6 / float64(*tasks)
	r.end()
}

func (f *figures) idle(s *store, r *rig) {
	time.Sleep(settle)
	f.residentKB = r.residentKB()
	commands, redisCPU, rigCPU := s.number("stats", "total_commands_processed"), s.cpu(), r.cpuSeconds()
	time.Sleep(time.Duration(*seconds) * time.Second)
	period := float64(*seconds)
	f.idleCommands = (s.number("stats", "total_commands_processed") - commands - 2) / period
	f.idleRedisPermil = (s.cpu() - redisCPU) * 1000 / period
	f.idleRigPermil = (r.cpuSeconds() - rigCPU) * 1000 / period
}

// rest has a server wait beside empty queues, and then gives it tasks, one now and then.
func (f *figures) rest() {
	s := startStore()
	defer s.end()
	s.register(f.queues)
	memory := s.number("memory", "used_memory")
	r := startRig(s, *picks)
	f.idle(s, r)
	f.redisMB = (s.number("memory", "used_memory") - memory) / 1e6
	for n := range *picks {
		pipe := s.TxPipeline()
		put(pipe, n, rand.Intn(f.queues))
		_, err := pipe.Exec(ctx)
		check(err)
		time.Sleep(2 * time.Millisecond)
	}
	r.hear("done")
	result := r.end()
	f.p50Us, f.p99Us = result["p50_us"], result["p99_us"]
}

// fleet has many servers wait beside as many queues each, and gives one of these a task now and then. It returns what a task costs
// Redis, in us, once the servers have found out that tasks come often there.
func fleet(queues int, more ...string) float64 {
	s := startStore()
	defer s.end()
	s.register(queues)
	const known = 500
	r := startRig(s, known+*picks, append([]string{fmt.Sprint("servers=", *servers), "concurrency=10"}, more...)...)
	time.Sleep(settle)
	var before float64
	for n := range known + *picks {
		if n == known {
			before = s.cpu()
		}
		pipe := s.TxPipeline()
		put(pipe, n, 0)
		_, err := pipe.Exec(ctx)
		check(err)
		time.Sleep(10 * time.Millisecond)
	}
	r.hear("done")
	cost := (s.cpu() - before) * 1e6 / float64(*picks)
	r.end()
	return cost
}

func main() {
	log.SetFlags(0)
	flag.Parse()
	var all []*figures
	fmt.Println("queues tasks/s redis_us/task rig_us/task idle_commands/s idle_redis_permil idle_rig_permil rss_MB redis_MB p50_us p99_us")
	for _, count := range strings.Split(*counts, ",") {
		queues, err := strconv.Atoi(count)
		check(err)
		f := &figures{queues: queues}
		f.workOff()
		f.rest()
		fmt.Printf("%6d %7.0f %13.1f %11.1f %15.1f %17.2f %15.2f %6.1f %8.1f %6.0f %6.0f\n", f.queues, f.perSecond, f.redisUsPerTask,
			f.rigUsPerTask, f.idleCommands, f.idleRedisPermil, f.idleRigPermil, f.residentKB/1000, f.redisMB, f.p50Us, f.p99Us)
		all = append(all, f)
	}
	first, last := all[0], all[len(all)-1]
	fmt.Printf("ratio throughput %.2f\n", last.perSecond/first.perSecond)
	for _, f := range all {
		if f.queues == 10 {
			fmt.Printf("ratio idle-commands %.2f\n", last.idleCommands/f.idleCommands)
		}
	}
	if last.queues > first.queues {
		fmt.Printf("bytes per idle queue %.0f\n", (last.residentKB-first.residentKB)*1024/float64(last.queues-first.queues))
	}
	if *servers > 0 {
		queues := min(last.queues, 1000)
		alone := fleet(queues, "park_threshold=-1")
		with := fleet(queues)
		fmt.Printf("fleet of %d servers with %d queues: %.0f us of Redis per task of one queue, %.0f without parking\n", *servers, queues, with, alone)
		fmt.Printf("ratio fleet-parking %.2f\n", alone/with)
	}
}
