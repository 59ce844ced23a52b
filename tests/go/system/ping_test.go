package system

import (
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// pinged is what can say whether it reaches Redis.
type pinged struct {
	peer *Peer
	op   string
	end  func()
}

func (p pinged) ping(timeoutMs int) (int, string) {
	answer := p.peer.Do(p.op, M{"timeout_ms": timeoutMs})
	text, _ := answer["error"].(string)
	return Status(answer), text
}

// TestPing: a server and a scheduler tell whether they reach Redis, and if not, why; they wait for it as long as they may.
func TestPing(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(r *Redis) pinged{
		"server": func(r *Redis) pinged {
			s := StartCServer(t, r.URI(), ServerOptions{})
			return pinged{s.Peer, "server.ping", s.Shutdown}
		},
		"scheduler": func(r *Redis) pinged {
			s := NewCScheduler(t, r.URI(), false, SchedulerOptions{Heartbeat: time.Second})
			s.Must("scheduler.start", M{})
			return pinged{s.Peer, "scheduler.ping", s.Shutdown}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pingInUnrest(t, start)
		})
	}
}

func pingInUnrest(t *testing.T, start func(r *Redis) pinged) {
	r := StartRedis(t)
	p := start(r)
	if status, text := p.ping(10_000); status != 0 {
		t.Fatalf("%d: %s", status, text)
	}
	r.Stop() // it hangs: the connection stands, and nothing answers
	if status, text := p.ping(200); status != -12 {
		t.Errorf("Redis hangs: %d, %s", status, text)
	}
	r.Continue()
	r.Kill()
	Eventually(t, 20*time.Second, "the loss to be noticed", func() bool {
		status, text := p.ping(0)
		return status == -5 && strings.Contains(text, "Redis cannot be reached: ")
	})
	go func() {
		time.Sleep(300 * time.Millisecond)
		r.Start()
	}()
	if status, text := p.ping(30_000); status != 0 {
		t.Errorf("Redis is back: %d, %s", status, text)
	}
	r.Do("CONFIG", "SET", "requirepass", "top")
	if status, text := start(r).ping(60_000); status != -8 {
		t.Errorf("no password: %d, %s", status, text)
	}
	p.end()
	if status, _ := p.ping(1000); status != -11 {
		t.Errorf("after the end: %d", status)
	}
}
