package system

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestTop uses "asynqctl top" in a real terminal, as a person would; each key's effect is looked up in Redis.
func TestTop(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	e := NewGoEnqueuer(t, r)
	put := func(id string, wish Wish, options Options) {
		options.ID = &id
		if wish.Text == "" {
			wish.Text = "text of " + id
		}
		e.Enqueue(Task{Type: "t", Payload: wish.Payload(), Own: options})
	}
	s := StartCServer(t, r.URI(), ServerOptions{Concurrency: 5, RetryMs: P(int64(3600000))})
	put("running", Wish{SleepMs: 600000}, Options{})
	put("cancelled", Wish{SleepMs: 600000}, Options{})
	put("failing", Wish{Do: "fail", Text: "no way"}, Options{})
	put("later", Wish{}, Options{ProcessIn: P(time.Hour)})
	put("grouped", Wish{}, Options{Group: P("crowd")})
	for i := range 60 {
		put(fmt.Sprintf("idle%02d", i), Wish{}, Options{Queue: P("idle")})
	}
	Eventually(t, 10*time.Second, "the worker's record", func() bool { return len(r.Strings("KEYS", "asynq:workers:*")) == 1 })

	top := StartTerminal(t, 150, 24, fmt.Sprintf("LC_ALL=C.UTF-8 %s top --every 200ms --uri %s; echo ended with $?; sleep 100",
		filepath.Join(BuildDir(), "asynqctl"), r.URI()))
	top.Shows("1 server, 2 of 5 workers busy", "default runs", "idle runs 60", "q quit")

	// Rates: a load in "default" shows in the numbers and in the line of blocks.
	peer := StartPeer(t, r.URI())
	end := make(chan bool)
	go func() {
		for round := 0; ; round++ {
			select {
			case <-end:
				return
			default:
				peer.Must("load", M{"prefix": fmt.Sprint("load", round), "payload": "{}", "count": 50, "threads": 1})
			}
		}
	}()
	top.Shows("█", "▁")
	end <- true

	top.Keys("Down", "p")
	top.Shows("idle is paused", "idle paused")
	equal(t, "paused", r.Int("EXISTS", QueueKey("idle", "paused")), 1)
	top.Keys("p")
	top.Shows("idle goes on", "idle runs")

	// Tasks of a state: pages, then one of them.
	top.Keys("Enter")
	top.Shows("idle: active pending", "idle00", "text of idle05", "r run a archive d delete")
	top.Keys("PageDown")
	top.Shows("page 2", "idle20")
	top.Keys("PageUp", "Down", "d")
	top.Shows("delete task idle01? (y/n)")
	top.Keys("n")
	top.Shows("nothing was done")
	equal(t, "still there", r.Int("EXISTS", TaskKey("idle", "idle01")), 1)
	top.Keys("d", "y")
	top.Shows("idle01 is deleted")
	equal(t, "deleted", r.Int("EXISTS", TaskKey("idle", "idle01")), 0)
	top.Keys("a")
	top.Shows("idle02 is archived")
	equal(t, "archived", r.Text("HGET", TaskKey("idle", "idle02"), "state"), "archived")
	top.Keys("r")
	top.Shows("already in pending state")
	top.Keys("Enter")
	top.Shows("id idle03", "payload {\"text\":\"text of idle03\"}")
	top.Keys("Escape")
	top.Shows("idle: active")
	top.Keys("Right", "Right", "Right")
	top.Shows("idle02", "LAST ERROR")
	top.Keys("r")
	top.Shows("idle02 is set to run")

	// The other queue: an error, a group, and a running task that is cancelled.
	top.Keys("Escape", "Up", "Enter")
	top.Shows("running", "cancelled")
	top.Keys("Left")
	top.Shows("GROUP", "crowd")
	top.Keys("Enter")
	top.Shows("group crowd", "text of grouped")
	top.Keys("Escape", "Left", "Left", "Left")
	top.Shows("no way", "failing")
	top.Keys("c")
	top.Shows("only running tasks can be cancelled")
	top.Keys("s")
	top.Shows("SERVER, TASK", "running", "cancelled", fmt.Sprint(s.Pid()))
	row := 0
	for i, line := range strings.Split(top.Screen(), "\n") {
		if strings.Contains(line, "  cancelled") {
			row = i - 2 // behind the first line and the titles
		}
	}
	for range row {
		top.Keys("Down")
	}
	top.Keys("c")
	top.Shows("cancelled is asked to stop")
	Eventually(t, 5*time.Second, "the cancellation", func() bool {
		return r.Text("HGET", TaskKey("default", "cancelled"), "state") == "retry"
	})

	// Any size of the screen: no line is wider, and it comes back.
	for _, size := range [][2]int{{80, 24}, {40, 10}, {20, 4}, {10, 2}, {3, 1}, {200, 50}} {
		top.Resize(size[0], size[1])
		time.Sleep(300 * time.Millisecond)
		for _, line := range strings.Split(top.Screen(), "\n") {
			if utf8.RuneCountInString(line) > size[0] {
				t.Errorf("at %v: %q", size, line)
			}
		}
	}
	top.Keys("Escape")
	top.Shows("default", "idle", "COMPLETED")

	// Redis goes and comes back, empty.
	r.Kill()
	top.Shows("Redis cannot be reached")
	r.Start()
	top.Shows("of 5 workers busy")
	top.Keys("q")
	top.Shows("ended with 0")
}
