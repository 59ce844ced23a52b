package system

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// section is what docs/redis.md says behind a heading, to the next one of its rank or a higher one.
func section(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n"+heading+"\n")
	if !found {
		t.Fatalf("docs/redis.md has no %q", heading)
	}
	rest, _, _ = strings.Cut(rest, "\n"+heading[:strings.Index(heading, " ")+1])
	return rest
}

// block is the first block of code of a language in a section.
func block(t *testing.T, section, language string) string {
	t.Helper()
	_, rest, found := strings.Cut(section, "\n```"+language+"\n")
	code, _, ends := strings.Cut(rest, "\n```\n")
	if !found || !ends {
		t.Fatalf("there is no block of %q in %q", language, section)
	}
	return code
}

// configuration makes arguments for redis-server of the lines of a file.
func configuration(lines string) (args []string) {
	for _, line := range strings.Split(lines, "\n") {
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			args = append(args, "--"+words[0], strings.Trim(words[1], `"`))
		}
	}
	return args
}

// TestRedisOfTheDocument: the lines of docs/redis.md for a Redis are taken, and what is acknowledged under them survives its being killed.
func TestRedisOfTheDocument(t *testing.T) {
	t.Parallel()
	args := configuration(block(t, section(t, "## A Redis for tasks"), "conf"))
	r := StartRedis(t, args...)
	for i := 0; i < len(args); i += 2 {
		if got := r.Client.ConfigGet(Ctx, args[i][2:]).Val()[args[i][2:]]; got != strings.Replace(args[i+1], "2gb", "2147483648", 1) {
			t.Errorf("%s is %q", args[i], got)
		}
	}
	peer := StartPeer(t, r.URI())
	peer.Must("load", M{"prefix": "kept", "payload": "{}", "count": 500, "threads": 4})
	// While the disk is still busy with what came before, Redis keeps what it has acknowledged back (aof_delayed_fsync).
	Eventually(t, 30*time.Second, "Redis to write its file", func() bool {
		return strings.Contains(r.Text("INFO", "persistence"), "aof_buffer_length:0\r\n")
	})
	r.Kill()
	r.Start()
	equal(t, "tasks", r.Int("LLEN", QueueKey("default", "pending")), 500)
	s := StartCServerIn(peer, ServerOptions{Concurrency: 10, LedgerPath: r.Dir + "/ledger"})
	waitEmpty(t, r, 30*time.Second)
	equal(t, "runs", len(Starts(s.Ledger())), 500)
}

var command = regexp.MustCompile("`([A-Z]+)`")

// TestManagedServices: without the commands that a service of docs/redis.md refuses tasks are enqueued, run and looked at.
func TestManagedServices(t *testing.T) {
	t.Parallel()
	services := 0
	for _, line := range strings.Split(section(t, "## Managed services"), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.HasPrefix(strings.TrimSpace(cells[2]), "`") || strings.Contains(line, "cannot be used") {
			continue
		}
		name, refused := strings.TrimSpace(cells[1]), []string{}
		for _, found := range command.FindAllStringSubmatch(cells[2], -1) {
			refused = append(refused, found[1])
		}
		services++
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			known := []string{}
			for _, word := range refused {
				if r.Do("COMMAND", "INFO", word).([]any)[0] != nil {
					known = append(known, "--rename-command", word, "")
				}
			}
			isManaged(t, StartRedis(t, known...))
		})
	}
	if services < 4 {
		t.Errorf("%d services", services)
	}
}

func isManaged(t *testing.T, r *Redis) {
	t.Helper()
	s := StartCServer(t, r.URI(), ServerOptions{LedgerPath: r.Dir + "/ledger"})
	e := NewCEnqueuer(t, r)
	for i := range 3 {
		e.Enqueue(Task{Type: "t", Payload: P("{}"), Own: Options{ID: P(fmt.Sprint(i)), Retention: P(time.Hour)}})
	}
	Eventually(t, 30*time.Second, "the tasks to be done", func() bool { return r.Int("ZCARD", QueueKey("default", "completed")) == 3 })
	equal(t, "runs", len(Starts(s.Ledger())), 3)
	for _, words := range [][]string{{"queue", "ls"}, {"task", "ls", "-q", "default", "-s", "completed"}, {"server", "ls"}, {"fsck"}} {
		if ran := ctl(t, r, words...); ran.status != 0 || ran.out == "" {
			t.Errorf("%v: status %d: %s", words, ran.status, ran.err)
		}
	}
}
