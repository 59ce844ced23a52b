// Million fills a Redis of its own with tasks of one queue and lets asynqctl work on them: how long each command takes,
// how much memory it needs, and how long it held Redis at most. It is started by bench/million.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hibiken/asynq/internal/base"
	"github.com/redis/go-redis/v9"
)

const (
	retryPercent, pendingPercent = 70, 20 // the rest is scheduled
	rareErrors                   = 12
	archiveKeeps                 = 9999
	slowUs                       = 5000
)

var (
	tasks = flag.Int("tasks", 1000000, "tasks in the queue")
	ctx   = context.Background()
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func startRedis() (*redis.Client, func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", "", "--loglevel",
		"warning", "--slowlog-log-slower-than", strconv.Itoa(slowUs), "--slowlog-max-len", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it ends with the thread that starts it
	check(cmd.Start())
	client := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port)})
	for range 500 {
		if client.Ping(ctx).Err() == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return client, func() { cmd.Process.Kill(); cmd.Wait() }
}

func stateOf(n int) string {
	switch percent := n * 100 / *tasks; {
	case percent < retryPercent:
		return "retry"
	case percent < retryPercent+pendingPercent:
		return "pending"
	}
	return "scheduled"
}

func add(pipe redis.Pipeliner, n int) {
	state, id := stateOf(n), fmt.Sprintf("%032x", uint64(n)*2654435761)
	message := &base.TaskMessage{Type: "email:send", ID: id, Queue: "default", Payload: []byte(strings.Repeat("x", 200)),
		Retry: 25, Timeout: 1800}
	if state == "retry" {
		message.ErrorMsg = "connection refused"
		if every := *tasks * retryPercent / 100 / rareErrors; n%every == every/2 {
			message.ErrorMsg = "disk full"
		}
	}
	encoded, err := base.EncodeMessage(message)
	check(err)
	pipe.HSet(ctx, "asynq:{default}:t:"+id, "msg", encoded, "state", state)
	if state == "pending" {
		pipe.LPush(ctx, "asynq:{default}:pending", id)
	} else {
		pipe.ZAdd(ctx, "asynq:{default}:"+state, redis.Z{Score: float64(4000000000 + n/100), Member: id})
	}
}

func fill(client *redis.Client) {
	check(client.SAdd(ctx, "asynq:queues", "default").Err())
	for n := 0; n < *tasks; {
		pipe := client.Pipeline()
		for end := min(n+5000, *tasks); n < end; n++ {
			add(pipe, n)
		}
		_, err := pipe.Exec(ctx)
		check(err)
	}
}

var highWater = regexp.MustCompile(`VmHWM:\s*(\d+) kB`)

// watchMemory returns the most resident memory that a process was seen to have, in kB. (What wait tells would include
// that of this program, from before the process became another.)
func watchMemory(pid int, program string) <-chan int {
	result := make(chan int, 1)
	go func() {
		highest := 0
		for {
			name, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			found := highWater.FindSubmatch(status)
			if err != nil || (found == nil && highest > 0) {
				result <- highest
				return
			}
			if found != nil && name == program {
				highest, _ = strconv.Atoi(string(found[1]))
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return result
}

// run runs asynqctl, prints what it took, and ends the program if the output is not as expected.
func run(client *redis.Client, expected string, args ...string) { runTo(client, 0, expected, args...) }

// runTo is the same for commands that end with another status.
func runTo(client *redis.Client, status int, expected string, args ...string) {
	check(client.Do(ctx, "SLOWLOG", "RESET").Err())
	cmd := exec.Command(os.Getenv("ASYNQCTL"), append(args, "--uri", "redis://"+client.Options().Addr)...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	began := time.Now()
	check(cmd.Start())
	memory := watchMemory(cmd.Process.Pid, cmd.Path)
	err := cmd.Wait()
	took := time.Since(began)
	if cmd.ProcessState.ExitCode() != status || !regexp.MustCompile(expected).Match(output.Bytes()) {
		log.Fatalf("asynqctl %s: %v: %.500s; expected %s", strings.Join(args, " "), err, output.Bytes(), expected)
	}
	entries, err := client.SlowLogGet(ctx, 1000).Result()
	check(err)
	slow, slowest := len(entries), time.Duration(0)
	for _, entry := range entries {
		slowest = max(slowest, entry.Duration)
	}
	fmt.Printf("%-52s %8.2f s %7d kB %4d calls over %d ms, at most %.1f ms\n", strings.Join(args, " "), took.Seconds(), <-memory, slow, slowUs/1000, slowest.Seconds()*1000)
}

const broken = 300

// breakSome takes tasks out of their places and deletes others.
func breakSome(client *redis.Client) {
	ids, err := client.ZRange(ctx, "asynq:{default}:retry", 1000, 1000+2*broken/3-1).Result()
	check(err)
	for i, id := range ids {
		if i%2 == 0 {
			check(client.ZRem(ctx, "asynq:{default}:retry", id).Err())
		} else {
			check(client.Del(ctx, "asynq:{default}:t:"+id).Err())
		}
	}
	ids, err = client.LRange(ctx, "asynq:{default}:pending", 0, -1).Result()
	check(err)
	for i := range broken / 3 {
		check(client.LRem(ctx, "asynq:{default}:pending", 1, ids[i*len(ids)*3/broken]).Err())
	}
}

func main() {
	runtime.LockOSThread() // see startRedis
	flag.Parse()
	client, stop := startRedis()
	defer stop()
	fmt.Fprintf(os.Stderr, "filling a queue with %d tasks\n", *tasks)
	fill(client)
	inRetry := *tasks * retryPercent / 100
	run(client, fmt.Sprintf(`default +runs +%d`, *tasks), "queue", "ls")
	run(client, `email:send`, "task", "ls", "-s", "retry")
	run(client, `email:send`, "task", "ls", "-s", "retry", "--page", strconv.Itoa(inRetry/30))
	run(client, `email:send`, "task", "ls", "-s", "pending", "--page", strconv.Itoa(*tasks*pendingPercent/100/30))
	run(client, fmt.Sprintf("%d tasks found", rareErrors), "task", "find", "-s", "retry", "-e", "disk full")
	run(client, "0 tasks found", "task", "find", "-s", "pending", "-p", "nowhere")
	run(client, fmt.Sprintf("%d tasks and .*: all is well", *tasks), "fsck")
	breakSome(client)
	runTo(client, 5, fmt.Sprintf("%d faults, 0 of them repaired", broken), "fsck")
	runTo(client, 7, fmt.Sprintf("%d faults, %d of them repaired", broken, broken), "fsck", "--repair")
	run(client, "all is well", "fsck")
	inRetry -= broken * 2 / 3 // a third was deleted, and a third was put into pending
	run(client, fmt.Sprintf("%d tasks set to run", rareErrors), "task", "retry", "-s", "retry", "-e", "disk full")
	run(client, "tasks set to run", "task", "runall", "-s", "scheduled")
	run(client, fmt.Sprintf("%d tasks archived, %d deleted", inRetry-rareErrors, inRetry-rareErrors-archiveKeeps), "task",
		"archiveall", "-s", "retry", "--yes")
	run(client, "tasks deleted", "task", "deleteall", "-s", "pending", "--yes")
	run(client, "is deleted", "queue", "rm", "default", "--force", "--yes")
	if left := client.DBSize(ctx).Val(); left != 0 {
		log.Fatalf("%d keys are left", left)
	}
}
