package system

import (
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestServerPing: a server tells whether it reaches Redis, and if not, why; it waits for it as long as it may.
func TestServerPing(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	server := StartCServer(t, r.URI(), ServerOptions{})
	ping := func(p *CServer, timeoutMs int) (int, string) {
		answer := p.Peer.Do("server.ping", M{"timeout_ms": timeoutMs})
		text, _ := answer["error"].(string)
		return Status(answer), text
	}
	if status, text := ping(server, 10_000); status != 0 {
		t.Fatalf("%d: %s", status, text)
	}
	r.Stop() // it hangs: the connection stands, and nothing answers
	if status, text := ping(server, 200); status != -12 {
		t.Errorf("Redis hangs: %d, %s", status, text)
	}
	r.Continue()
	r.Kill()
	Eventually(t, 20*time.Second, "the loss to be noticed", func() bool {
		status, text := ping(server, 0)
		return status == -5 && strings.Contains(text, "Redis cannot be reached: ")
	})
	go func() {
		time.Sleep(300 * time.Millisecond)
		r.Start()
	}()
	if status, text := ping(server, 30_000); status != 0 {
		t.Errorf("Redis is back: %d, %s", status, text)
	}
	r.Do("CONFIG", "SET", "requirepass", "top")
	locked := StartCServer(t, r.URI(), ServerOptions{})
	if status, text := ping(locked, 60_000); status != -8 {
		t.Errorf("no password: %d, %s", status, text)
	}
	server.Shutdown()
	if status, _ := ping(server, 1000); status != -11 {
		t.Errorf("after the end: %d", status)
	}
}
