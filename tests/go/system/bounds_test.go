package system

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// bounds are the sizes of what is looked at, and how long Redis may be held by one call. The time is for a machine that
// does nothing else; beside other tests it only catches what is far off, and the rest is seen from the commands. Redis
// prints a command for a monitor while it executes it, a large one in 50 ms: what is timed is not looked at.
type bounds struct {
	tasks, groups, members int
	limit                  time.Duration
	isTimed                bool
}

func wantedBounds() bounds {
	if os.Getenv("ASYNQ_BOUNDS") == "full" { // tools/bounds
		return bounds{1_000_000, 100_000, 300_000, 5 * time.Millisecond, true}
	}
	return bounds{60_000, 5_000, 30_000, 2 * time.Second, false}
}

const fillTasks = `
for i = ARGV[1], ARGV[2] do
    local id = string.format('%s%08d', ARGV[3], i)
    redis.call('HSET', KEYS[2] .. id, 'msg', ARGV[4], 'state', ARGV[5])
    if ARGV[5] == 'aggregating' then
        redis.call('HSET', KEYS[2] .. id, 'group', ARGV[6])
        redis.call('ZADD', KEYS[1], ARGV[7], id)
    else
        redis.call('HSET', KEYS[2] .. id, 'pending_since', 1)
        redis.call('LPUSH', KEYS[1], id)
    end
end`

// fill makes tasks in a container: pending, or waiting in a group.
func fill(t *testing.T, r *Redis, container, prefix, state, group string, count int) {
	t.Helper()
	message := Encode(t, &base.TaskMessage{Type: "t", ID: prefix, Queue: "big", Retry: 5, GroupKey: group, Payload: []byte("{}")})
	for first := 1; first <= count; first += 5000 {
		r.Do("EVAL", fillTasks, 2, QueueKey("big", container), QueueKey("big", "t:"), first, min(first+4999, count), prefix, message, state, group,
			time.Now().Add(-time.Hour).Unix())
	}
}

// monitor collects what Redis executes.
type monitor struct {
	t     *testing.T
	conn  net.Conn
	mutex sync.Mutex
	lines []string
	done  chan bool
}

func startMonitor(t *testing.T, r *Redis) *monitor {
	t.Helper()
	conn, err := net.Dial("unix", r.Socket)
	if err != nil {
		t.Fatal(err)
	}
	m := &monitor{t: t, conn: conn, done: make(chan bool)}
	fmt.Fprint(conn, "MONITOR\r\n")
	in := bufio.NewReaderSize(conn, 1<<20)
	in.ReadString('\n')
	go func() {
		defer close(m.done)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			m.mutex.Lock()
			m.lines = append(m.lines, line)
			m.mutex.Unlock()
		}
	}()
	return m
}

func (m *monitor) end() []string {
	m.conn.Close()
	<-m.done
	return m.lines
}

var wordPattern = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// tooMuch tells what is unbounded in a command. Ranges by rank end within some thousand elements, or are small by their
// nature; nothing reads all of a container.
func tooMuch(words []string) string {
	const highest = 2100
	name := strings.ToUpper(words[0])
	switch {
	case len(words) > 2*highest:
		return fmt.Sprint(len(words), " arguments")
	case name == "SMEMBERS" || name == "KEYS" || name == "HGETALL" || name == "ZUNIONSTORE" || name == "SUNIONSTORE":
		if words[1] == "asynq:queues" {
			return ""
		}
		return "all of a container"
	case name == "LRANGE" || (name == "ZRANGE" && len(words) > 3):
		first, _ := strconv.Atoi(words[2])
		last, err := strconv.Atoi(words[3])
		if err == nil && (last < 0) == (first < 0) && last-first > highest {
			return fmt.Sprint(last-first+1, " elements")
		}
		if err == nil && first >= 0 && last < 0 && strings.Contains(words[1], ":g:") {
			return "all of a set"
		}
	case name == "ZRANGEBYSCORE" && !strings.Contains(strings.ToUpper(strings.Join(words, " ")), "LIMIT") && strings.Contains(words[1], "{big}"):
		return "a range without limit"
	case name == "LPOS" && !strings.Contains(strings.ToUpper(strings.Join(words, " ")), "MAXLEN"):
		return "a search without limit"
	case name == "DEL" && len(words) == 2 && strings.Contains(words[1], ":g:big"):
		return "a large set deleted at once"
	}
	return ""
}

// checkCommands looks at each command, and counts those of one script.
func checkCommands(t *testing.T, lines []string) {
	t.Helper()
	const highest = 2100
	inScript, worst := 0, map[string]bool{}
	for _, line := range lines {
		at := strings.Index(line, "] ")
		if at < 0 || strings.Contains(line, `"EVAL"`) {
			continue
		}
		words := wordPattern.FindAllString(line[at:], -1)
		for i := range words {
			words[i] = strings.Trim(words[i], `"`)
		}
		if len(words) == 0 {
			continue
		}
		if !strings.Contains(line[:at], " lua") {
			inScript = 0
		} else if inScript++; inScript == highest {
			worst["a script of more than 2,100 commands, among them "+words[0]] = true
		}
		if why := tooMuch(words); why != "" && len(words) > 1 {
			worst[words[0]+" "+words[1]+": "+why] = true
		}
	}
	for what := range worst {
		t.Error(what)
	}
}

// goFirst lets Redis go before other processes, as the time that it waits for a processor would count.
func goFirst(t *testing.T, r *Redis) {
	t.Helper()
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, r.Pid(), -15); err != nil {
		t.Log("Redis waits for processors as all others do, which counts: ", err)
	}
}

func checkSlowlog(t *testing.T, r *Redis, limit time.Duration) {
	t.Helper()
	log, err := r.Client.SlowLogGet(Ctx, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range log {
		what := strings.Join(entry.Args, " ")
		if entry.Duration > limit && !strings.HasPrefix(what, "EVAL ") && !strings.HasPrefix(strings.ToLower(what), "slowlog") {
			t.Errorf("%v: %.200s", entry.Duration, what)
		}
	}
}

// TestBoundedCalls: over large queues, groups and sets no call holds Redis for long. tools/bounds runs it in full size.
func TestBoundedCalls(t *testing.T) {
	t.Parallel()
	b := wantedBounds()
	r := StartRedis(t)
	r.Do("SADD", "asynq:queues", "big")
	fill(t, r, "pending", "p", "pending", "", b.tasks)
	fill(t, r, "g:big", "m", "aggregating", "big", b.members)
	fill(t, r, "g:big-2", "n", "aggregating", "big-2", b.members)
	lost := QueueKey("big", "g:big-3:0e8e1ab5-9a0c-4b9b-8a4a-1c1f7f5a6a01")
	fill(t, r, "g:big-3:0e8e1ab5-9a0c-4b9b-8a4a-1c1f7f5a6a01", "l", "aggregating", "big-3", b.members)
	fill(t, r, "g:big-3", "k", "aggregating", "big-3", 10)
	r.Do("ZADD", QueueKey("big", "aggregation_sets"), time.Now().Add(-time.Minute).Unix(), lost)
	r.Do("SADD", QueueKey("big", "groups"), "big", "big-2", "big-3")
	for first := 0; first < b.groups; first += 1000 {
		r.Do("EVAL", `for i = ARGV[1], ARGV[1] + 999 do
			redis.call('ZADD', KEYS[2] .. 'small' .. i, ARGV[2], 'none' .. i)
			redis.call('SADD', KEYS[1], 'small' .. i)
		end`, 2, QueueKey("big", "groups"), QueueKey("big", "g:"), first, time.Now().Add(time.Hour).Unix())
	}
	r.Do("CONFIG", "SET", "slowlog-log-slower-than", b.limit.Microseconds()) // Redis 6.2 takes one at a time
	r.Do("CONFIG", "SET", "slowlog-max-len", 1000)
	r.Do("SLOWLOG", "RESET")
	var m *monitor
	if b.isTimed {
		goFirst(t, r)
	} else {
		m = startMonitor(t, r)
	}
	in := func(place int) string { return fmt.Sprintf("p%08d", place) }
	works := func(args ...string) {
		t.Helper()
		if ran := ctl(t, r, args...); ran.status != 0 {
			t.Errorf("asynqctl %v: status %d: %s", args, ran.status, ran.err)
		}
	}
	works("queue", "pause", "big")
	works("queue", "inspect", "big")
	works("task", "ls", "-q", "big", "-s", "pending", "--page", fmt.Sprint(b.tasks/60))
	works("task", "deleteall", "-q", "big", "-s", "pending", "--id", in(b.tasks / 2)[:7]+"*", "--yes")
	works("task", "delete", "-q", "big", in(b.tasks/3), "--yes")
	works("task", "archive", "-q", "big", in(b.tasks*2/3))
	works("task", "archiveall", "-q", "big", "-s", "pending", "--id", in(b.tasks / 4)[:7]+"*", "--yes")
	equal(t, "pending", r.Int("LLEN", QueueKey("big", "pending")), int64(b.tasks-202))
	equal(t, "a deleted one", r.Int("EXISTS", QueueKey("big", "t:"+in(b.tasks/2))), int64(0))
	equal(t, "an archived one", r.Text("HGET", QueueKey("big", "t:"+in(b.tasks*2/3)), "state"), "archived")

	s := StartCServer(t, r.URI(), ServerOptions{Queues: map[string]int{"big": 1}, Concurrency: 2, Aggregates: true, Grace: time.Second,
		MaxSize: b.members})
	Eventually(t, 200*time.Second, "the groups to be aggregated and the lost set to be back", func() bool {
		return r.Int("ZCARD", QueueKey("big", "aggregation_sets")) == 0 && r.Int("EXISTS", QueueKey("big", "g:big")) == 0 &&
			r.Int("EXISTS", QueueKey("big", "g:big-2")) == 0 && r.Int("EXISTS", QueueKey("big", "g:big-3")) == 0
	})
	s.Shutdown()
	for _, prefix := range []string{"m", "n", "l"} {
		for _, at := range []int{1, b.members / 2, b.members} {
			equal(t, "tasks of sets", r.Int("EXISTS", QueueKey("big", fmt.Sprintf("t:%s%08d", prefix, at))), int64(0))
		}
	}
	works("group", "ls", "-q", "big")
	if m != nil {
		checkCommands(t, m.end())
	}
	checkSlowlog(t, r, b.limit)
}
