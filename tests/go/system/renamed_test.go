package system

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestRenamedCommands: a Redis without one of the commands that are not needed, as some services are. Tasks are enqueued and run,
// and a line at most says what is missing.
func TestRenamedCommands(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"CLIENT", "INFO", "SUBSCRIBE", "PUBLISH", "PUBSUB", "SELECT", "CLUSTER", "ROLE", "MEMORY", "SCAN", "DBSIZE", "CONFIG", "WAIT"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t, "--rename-command", command, "")
			s := StartCServerIn(StartPeerUnder(t, []string{"env", "ASYNQ_PEER_PARK_THRESHOLD=1"}, r.URI()), ServerOptions{LedgerPath: r.Dir + "/ledger"})
			peer := StartPeer(t, r.URI())
			for i := range 3 {
				peer.Must("enqueue", Task{Type: "t", Payload: P("{}"), Own: Options{ID: P(fmt.Sprint(i))}}.ForC())
			}
			Eventually(t, 30*time.Second, "all tasks to end", func() bool { return len(s.Ledger()) == 6 && r.Int("LLEN", QueueKey("default", "active")) == 0 })
			Eventually(t, 30*time.Second, "the server's record", func() bool { return r.Int("ZCARD", "asynq:servers") == 1 })
			var told []string
			for _, note := range s.Notes() {
				if strings.Contains(note, "cannot") || strings.Contains(note, "does not") {
					told = append(told, note)
				}
			}
			if len(told) > 1 {
				t.Errorf("%d lines: %q", len(told), told)
			}
		})
	}
}
