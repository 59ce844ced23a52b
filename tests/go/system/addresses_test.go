package system

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestNameWithSeveralAddresses: the first ones cannot be reached, some at once and some never; each has its share of time.
func TestNameWithSeveralAddresses(t *testing.T) {
	t.Parallel()
	for name, addresses := range map[string][]string{
		"no route":   {"10.255.0.1", RoadHost},
		"no IPv6":    {"2001:db8::1", "fe80::1", RoadHost},
		"hangs":      {RoadNowhere, RoadHost},
		"many hang":  {RoadNowhere, "198.51.100.2", "198.51.100.3", RoadHost},
		"all differ": {"10.255.0.1", "::1", RoadNowhere, RoadHost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := NewHost(t)
			r := StartRedisUnder(t, host.Under(), "--port", "6379", "--bind", RoadHost)
			host.Hosts(addresses...)
			peer := StartPeerUnder(t, host.Under(), "redis://"+RoadName)
			peer.Must("client.options", M{"timeout_ms": 60_000})
			peer.Must("enqueue", Task{Type: "t", Payload: P("{}")}.ForC())
			StartCServerIn(StartPeerUnder(t, host.Under(), "redis://"+RoadName), ServerOptions{LedgerPath: filepath.Join(r.Dir, "ledger")})
			waitEmpty(t, r, 60*time.Second)
		})
	}
}

// TestNameMoves: the system's files are read at each attempt to connect, so a failover by /etc/hosts is seen.
func TestNameMoves(t *testing.T) {
	t.Parallel()
	host := NewHost(t)
	first := StartRedisUnder(t, host.Under(), "--port", "6379", "--bind", RoadHost)
	second := StartRedisUnder(t, host.Under(), "--port", "6379", "--bind", "127.0.0.2")
	host.Hosts(RoadHost)
	path := filepath.Join(second.Dir, "ledger")
	StartCServerIn(StartPeerUnder(t, host.Under(), "redis://"+RoadName), ServerOptions{LedgerPath: path})
	peer := StartPeerUnder(t, host.Under(), "redis://"+RoadName)
	peer.Must("client.options", M{"timeout_ms": 60_000})
	peer.Must("enqueue", Task{Type: "t", Payload: P("{}"), Own: Options{ID: P("before")}}.ForC())
	waitEmpty(t, first, 60*time.Second)
	host.Hosts("127.0.0.2")
	first.Kill()
	peer.Must("enqueue", Task{Type: "t", Payload: P("{}"), Own: Options{ID: P("after")}}.ForC())
	Eventually(t, 60*time.Second, "the task at the new address", func() bool { return Starts(ReadLedger(t, path))["default/after"] == 1 })
}

// TestNothingIsPrinted: name servers fail, and nobody asked for a log.
func TestNothingIsPrinted(t *testing.T) {
	t.Parallel()
	host := NewHost(t)
	printed := filepath.Join(t.TempDir(), "stderr")
	under := append(host.Under(), "sh", "-c", fmt.Sprintf(`exec "$@" 2>%s`, printed), "sh")
	peer := StartPeerUnder(t, under, "redis://no-such-host.example")
	peer.Must("client.options", M{"timeout_ms": 15_000})
	equal(t, "status", Status(peer.Do("ping", nil)), -5)
	peer.Must("client.close", nil)
	if text, err := os.ReadFile(printed); err != nil || len(text) > 0 {
		t.Errorf("printed: %q (%v)", text, err)
	}
}
